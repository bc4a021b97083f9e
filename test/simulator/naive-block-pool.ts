// vLLM v1's block pool, block by block, as its documentation tells it: the oracle for the extents of the KV cache.

export interface NaiveBlock {
  users: number;
  hash: string | undefined;
}

export class NaiveBlockPool {
  /** Free blocks, next to be taken first. */
  readonly free: NaiveBlock[];
  /** Blocks of each hash in the order in which they were hashed. */
  readonly cached = new Map<string, NaiveBlock[]>();

  constructor(blocks: number) {
    this.free = Array.from({ length: blocks }, () => ({ users: 0, hash: undefined }));
  }

  /** Leading blocks of a list of hashes that are cached. */
  match(hashes: readonly string[]): NaiveBlock[] {
    const found: NaiveBlock[] = [];
    for (const hash of hashes) {
      const block = this.cached.get(hash)?.[0];
      if (block === undefined) break;
      found.push(block);
    }
    return found;
  }

  touch(blocks: readonly NaiveBlock[]): void {
    for (const block of blocks) {
      if (block.users === 0) this.free.splice(this.free.indexOf(block), 1);
      block.users++;
    }
  }

  take(count: number): NaiveBlock[] {
    const taken = this.free.splice(0, count);
    for (const block of taken) {
      if (block.hash !== undefined) {
        const copies = this.cached.get(block.hash)!;
        copies.splice(copies.indexOf(block), 1);
        if (copies.length === 0) this.cached.delete(block.hash);
        block.hash = undefined;
      }
      block.users = 1;
    }
    return taken;
  }

  hash(block: NaiveBlock, hash: string): void {
    block.hash = hash;
    this.cached.set(hash, [...(this.cached.get(hash) ?? []), block]);
  }

  release(blocks: readonly NaiveBlock[]): void {
    for (const block of [...blocks].reverse()) {
      if (--block.users === 0) this.free.push(block);
    }
  }
}
