export declare function forgeBoot(store: string): void;
