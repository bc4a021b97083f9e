// Extents: runs of consecutive blocks [from, to) of one content with the same users, as a struct of arrays with index
// reuse. Free ones stand in LRU order; those of one content stand in a chain in the order in which they were hashed,
// because of several copies of a block the one hashed first is found.

import { grown } from "../typed-arrays.ts";

const NONE = -1;
/** Owner of blocks whose content nobody can look for. */
const ANONYMOUS = -1;

export class ExtentPool {
  /** Blocks that no request uses. */
  freeBlocks: number;
  /** After `find`: blocks that can be had from the found extent before another copy has precedence. */
  foundBlocks = 0;
  /** Requests that use the extent. */
  users: Int32Array = new Int32Array(256);

  #owner = new Int32Array(256);
  #from = new Int32Array(256);
  #to = new Int32Array(256);
  /** Where the blocks behind `to` went when this extent was split. Followed only by requests that use them. */
  #successor = new Int32Array(256);
  #chainNext = new Int32Array(256);
  #chainPrevious = new Int32Array(256);
  #lruNext = new Int32Array(256);
  #lruPrevious = new Int32Array(256);
  #lruFirst = NONE;
  #lruLast = NONE;
  #capacity = 256;
  #unused = 0;
  readonly #recycled: number[] = [];
  #sharedFirst = new Int32Array(256).fill(NONE);
  #sharedLast = new Int32Array(256).fill(NONE);
  #privateFirst = new Int32Array(64).fill(NONE);
  #privateLast = new Int32Array(64).fill(NONE);
  readonly #walk: number[] = [];
  /** For contents that changed since `remember`: how many leading blocks they had then. */
  #remembered: Map<number, number> | undefined;

  constructor(blocks: number) {
    this.freeBlocks = 0;
    this.freeAnonymous(blocks);
  }

  /** Owner of the content that only the request in this slot can have. Shared contents are owners ≥ 0 themselves. */
  privateOwner(slot: number): number {
    return -2 - slot;
  }

  /** The extent that serves one block of a content, or −1. How many blocks it serves in a row is in `foundBlocks`. */
  find(owner: number, block: number): number {
    let earlierStart = Number.POSITIVE_INFINITY;
    for (let extent = this.#chainFirst(owner); extent !== NONE; extent = this.#chainNext[extent]!) {
      const from = this.#from[extent]!;
      if (from > block) {
        // A copy hashed earlier takes over where it begins.
        if (from < earlierStart) earlierStart = from;
      } else if (this.#to[extent]! > block) {
        this.foundBlocks = Math.min(this.#to[extent]!, earlierStart) - block;
        return extent;
      }
    }
    return NONE;
  }

  /** Blocks of a content that are there without a gap from its first one on. */
  leadingBlocks(owner: number): number {
    let blocks = 0;
    while (this.find(owner, blocks) !== NONE) blocks += this.foundBlocks;
    return blocks;
  }

  /** From now on `rememberedLeadingBlocks` answers for this instant, whatever changes. */
  remember(): void {
    this.#remembered ??= new Map();
    this.#remembered.clear();
  }

  /** `leadingBlocks` as it was at the last `remember`. */
  rememberedLeadingBlocks(owner: number): number {
    return this.#remembered?.get(owner) ?? this.leadingBlocks(owner);
  }

  /** Adds a user to blocks [first, first + blocks) of an extent or its successors; returns the extent that is just those. */
  use(start: number, first: number, blocks: number): number {
    let extent = start;
    while (first >= this.#to[extent]!) extent = this.#successor[extent]!;
    if (first > this.#from[extent]!) extent = this.#split(extent, first);
    if (first + blocks < this.#to[extent]!) this.#split(extent, first + blocks);
    if (this.users[extent] === 0) {
      this.#lruRemove(extent);
      this.freeBlocks -= blocks;
    }
    this.users[extent]!++;
    return extent;
  }

  /** Takes free blocks, least recently used first; their content is lost. There must be enough. */
  take(blocks: number): void {
    this.freeBlocks -= blocks;
    let missing = blocks;
    while (missing > 0) {
      const extent = this.#lruFirst;
      const from = this.#from[extent]!;
      const left = this.#to[extent]! - missing;
      this.#noteChange(this.#owner[extent]!);
      if (left > from) {
        this.#to[extent] = left;
        return;
      }
      missing -= this.#to[extent]! - from;
      this.#lruRemove(extent);
      this.#chainRemove(extent);
      this.#recycled.push(extent);
    }
  }

  /** A new extent with one user, last in the chain of its content. Its blocks must have been taken. */
  create(owner: number, from: number, blocks: number): number {
    this.#noteChange(owner);
    const extent = this.#allocate();
    this.#owner[extent] = owner;
    this.#from[extent] = from;
    this.#to[extent] = from + blocks;
    this.users[extent] = 1;
    this.#chainAppend(extent);
    return extent;
  }

  /** Takes one user from `blocks` blocks from an extent on. What is then unused goes to the end of the LRU list, last first. */
  release(start: number, blocks: number): void {
    const walk = this.#walk;
    let extent = start;
    let missing = blocks - (this.#to[extent]! - this.#from[extent]!);
    while (missing > 0) {
      walk.push(extent);
      extent = this.#successor[extent]!;
      missing -= this.#to[extent]! - this.#from[extent]!;
    }
    this.#releaseOne(extent);
    while (walk.length > 0) this.#releaseOne(walk.pop()!);
  }

  /** Frees blocks without content. */
  freeAnonymous(blocks: number): void {
    if (blocks === 0) return;
    this.freeBlocks += blocks;
    const last = this.#lruLast;
    if (last !== NONE && this.#owner[last] === ANONYMOUS) {
      this.#to[last]! += blocks;
      return;
    }
    const extent = this.#allocate();
    this.#owner[extent] = ANONYMOUS;
    this.#from[extent] = 0;
    this.#to[extent] = blocks;
    this.users[extent] = 0;
    this.#lruInsertBefore(NONE, extent);
  }

  /** The private content of a slot can no longer be looked for; its blocks stay where they are. */
  orphan(slot: number): void {
    if (slot >= this.#privateFirst.length) return;
    for (let extent = this.#privateFirst[slot]!; extent !== NONE; extent = this.#chainNext[extent]!) {
      this.#owner[extent] = ANONYMOUS;
    }
    this.#privateFirst[slot] = NONE;
    this.#privateLast[slot] = NONE;
  }

  /** Called before a shared content gets or loses blocks. */
  #noteChange(owner: number): void {
    const remembered = this.#remembered;
    if (remembered === undefined || owner < 0 || remembered.has(owner)) return;
    remembered.set(owner, this.leadingBlocks(owner));
  }

  #releaseOne(extent: number): void {
    if (--this.users[extent]! > 0) return;
    this.freeBlocks += this.#to[extent]! - this.#from[extent]!;
    this.#lruInsertBefore(NONE, extent);
  }

  /** Cuts an extent in two; it keeps the blocks before `at`, the returned one has the others and the same users. */
  #split(extent: number, at: number): number {
    const rest = this.#allocate();
    const owner = this.#owner[extent]!;
    this.#owner[rest] = owner;
    this.#from[rest] = at;
    this.#to[rest] = this.#to[extent]!;
    this.#to[extent] = at;
    this.users[rest] = this.users[extent]!;
    this.#successor[rest] = this.#successor[extent]!;
    this.#successor[extent] = rest;
    const next = this.#chainNext[extent]!;
    this.#chainNext[extent] = rest;
    this.#chainPrevious[rest] = extent;
    this.#chainNext[rest] = next;
    if (next !== NONE) this.#chainPrevious[next] = rest;
    else this.#setChainLast(owner, rest);
    // Later blocks are evicted first.
    if (this.users[extent] === 0) this.#lruInsertBefore(extent, rest);
    return rest;
  }

  #chainFirst(owner: number): number {
    if (owner >= 0) return owner < this.#sharedFirst.length ? this.#sharedFirst[owner]! : NONE;
    return -2 - owner < this.#privateFirst.length ? this.#privateFirst[-2 - owner]! : NONE;
  }

  #setChainLast(owner: number, extent: number): void {
    if (owner >= 0) this.#sharedLast[owner] = extent;
    else this.#privateLast[-2 - owner] = extent;
  }

  #chainAppend(extent: number): void {
    const owner = this.#owner[extent]!;
    const index = owner >= 0 ? owner : -2 - owner;
    if (owner >= 0 && index >= this.#sharedFirst.length) {
      const capacity = Math.max(index + 1, this.#sharedFirst.length * 2);
      this.#sharedFirst = grown(this.#sharedFirst, capacity, NONE);
      this.#sharedLast = grown(this.#sharedLast, capacity, NONE);
    } else if (owner < 0 && index >= this.#privateFirst.length) {
      const capacity = Math.max(index + 1, this.#privateFirst.length * 2);
      this.#privateFirst = grown(this.#privateFirst, capacity, NONE);
      this.#privateLast = grown(this.#privateLast, capacity, NONE);
    }
    const first = owner >= 0 ? this.#sharedFirst : this.#privateFirst;
    const last = owner >= 0 ? this.#sharedLast : this.#privateLast;
    const previous = last[index]!;
    this.#chainPrevious[extent] = previous;
    this.#chainNext[extent] = NONE;
    if (previous === NONE) first[index] = extent;
    else this.#chainNext[previous] = extent;
    last[index] = extent;
  }

  #chainRemove(extent: number): void {
    const owner = this.#owner[extent]!;
    if (owner === ANONYMOUS) return;
    const index = owner >= 0 ? owner : -2 - owner;
    const previous = this.#chainPrevious[extent]!;
    const next = this.#chainNext[extent]!;
    if (previous === NONE) (owner >= 0 ? this.#sharedFirst : this.#privateFirst)[index] = next;
    else this.#chainNext[previous] = next;
    if (next === NONE) (owner >= 0 ? this.#sharedLast : this.#privateLast)[index] = previous;
    else this.#chainPrevious[next] = previous;
  }

  #lruRemove(extent: number): void {
    const previous = this.#lruPrevious[extent]!;
    const next = this.#lruNext[extent]!;
    if (previous === NONE) this.#lruFirst = next;
    else this.#lruNext[previous] = next;
    if (next === NONE) this.#lruLast = previous;
    else this.#lruPrevious[next] = previous;
  }

  /** Inserts before `next`, or at the end where that is NONE. */
  #lruInsertBefore(next: number, extent: number): void {
    const previous = next === NONE ? this.#lruLast : this.#lruPrevious[next]!;
    this.#lruPrevious[extent] = previous;
    this.#lruNext[extent] = next;
    if (previous === NONE) this.#lruFirst = extent;
    else this.#lruNext[previous] = extent;
    if (next === NONE) this.#lruLast = extent;
    else this.#lruPrevious[next] = extent;
  }

  #allocate(): number {
    const index = this.#recycled.pop() ?? this.#unused++;
    if (index === this.#capacity) {
      const capacity = this.#capacity * 2;
      this.users = grown(this.users, capacity);
      this.#owner = grown(this.#owner, capacity);
      this.#from = grown(this.#from, capacity);
      this.#to = grown(this.#to, capacity);
      this.#successor = grown(this.#successor, capacity);
      this.#chainNext = grown(this.#chainNext, capacity);
      this.#chainPrevious = grown(this.#chainPrevious, capacity);
      this.#lruNext = grown(this.#lruNext, capacity);
      this.#lruPrevious = grown(this.#lruPrevious, capacity);
      this.#capacity = capacity;
    }
    this.#successor[index] = NONE;
    return index;
  }
}
