// What is to be closed with its owner, unless nobody holds it any more.

/** A set that keeps none of its members alive: one that is collected leaves it. */
export class WeakMembers<T extends object> {
  private readonly references: Set<WeakRef<T>> = new Set();
  private readonly collected: FinalizationRegistry<WeakRef<T>> = new FinalizationRegistry((reference) =>
    this.references.delete(reference),
  );

  /** Members, and those whose collection has not been told yet. */
  get size(): number {
    return this.references.size;
  }

  add(member: T): void {
    const reference = new WeakRef(member);
    this.references.add(reference);
    this.collected.register(member, reference);
  }

  *[Symbol.iterator](): Generator<T> {
    for (const reference of this.references) {
      const member = reference.deref();
      if (member !== undefined) yield member;
    }
  }
}
