// A queue of slots that also takes them back at the front: a ring buffer that doubles when it is full.

export class SlotQueue {
  #ring = new Int32Array(64);
  #first = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The front of the queue, which must not be empty. */
  get first(): number {
    return this.#ring[this.#first]!;
  }

  push(slot: number): void {
    if (this.#size === this.#ring.length) this.#grow();
    this.#ring[(this.#first + this.#size++) & (this.#ring.length - 1)] = slot;
  }

  pushFront(slot: number): void {
    if (this.#size === this.#ring.length) this.#grow();
    this.#first = (this.#first - 1) & (this.#ring.length - 1);
    this.#size++;
    this.#ring[this.#first] = slot;
  }

  shift(): number {
    const slot = this.#ring[this.#first]!;
    this.#first = (this.#first + 1) & (this.#ring.length - 1);
    this.#size--;
    return slot;
  }

  /** Takes a slot out, wherever it is. It must be in the queue. */
  remove(slot: number): void {
    const last = this.#ring.length - 1;
    let at = 0;
    while (this.#ring[(this.#first + at) & last] !== slot) at++;
    for (; at > 0; at--) this.#ring[(this.#first + at) & last] = this.#ring[(this.#first + at - 1) & last]!;
    this.#first = (this.#first + 1) & last;
    this.#size--;
  }

  #grow(): void {
    const larger = new Int32Array(this.#ring.length * 2);
    for (let i = 0; i < this.#size; i++) larger[i] = this.#ring[(this.#first + i) & (this.#ring.length - 1)]!;
    this.#ring = larger;
    this.#first = 0;
  }
}
