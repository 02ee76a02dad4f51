export declare const handOn: <T extends object>(inner: T) => T;
