/** Appends to the files that were opened meanwhile, and closes them. */
export declare function lateWrites(text: string): void;
