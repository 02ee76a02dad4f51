export declare const ACTOR_FILES: readonly string[];
export declare const OTHERS_FILES: readonly string[];
export declare function textOf(file: string, number: number): string;
