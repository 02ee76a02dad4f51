import type { Store } from '@cairn/core';

export declare function everything(store: Store): Promise<string[]>;
