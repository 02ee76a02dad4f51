declare const brand: unique symbol;

/** A nominal type: a value of `T` that only the module which makes it may call a `K`. */
export type Brand<T, K extends string> = T & { readonly [brand]: K };
