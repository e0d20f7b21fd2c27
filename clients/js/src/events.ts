/** A typed event source: `on` gives back the function that takes the listener off again. */
export class Emitter<Events> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();

  /** Calls `listener` on every event of this type, until the returned function is called. */
  on<Type extends keyof Events>(type: Type, listener: (event: Events[Type]) => void): () => void {
    let listeners = this.#listeners.get(type);
    if (!listeners) this.#listeners.set(type, (listeners = new Set()));
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** @internal */
  emit<Type extends keyof Events>(type: Type, event: Events[Type]): void {
    for (const listener of this.#listeners.get(type) ?? []) (listener as (event: Events[Type]) => void)(event);
  }
}
