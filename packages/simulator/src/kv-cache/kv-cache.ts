// Paged KV cache of one replica with hashed prefix blocks, as vLLM v1 keeps it: blocks in use are counted by user, free
// blocks wait in LRU order with their content intact, allocation evicts from the front, requests free tail first.
//
// Blocks are handled in extents: runs of consecutive blocks of one content that share their users. A free extent is a
// descending run of the LRU list, so an allocation eats it from its end; a hit on a part of it splits it. This is the
// block-by-block list exactly (a test holds it against one), at the cost of a few operations per extent. Lengths are
// in blocks unless they say tokens.
//
// Content is either shared (a block id of the trace, made of `blocksPerContent` cache blocks) or private to a slot (what
// no other request can have: generated tokens, prompts without identity), where only the request itself finds it again
// after a preemption.

import { grown } from "../typed-arrays.ts";
import { ExtentPool } from "./extents.ts";

/** What a request's tokens are, for prefix sharing. */
export interface KvCacheShape {
  /** Blocks that requests can hold. */
  readonly blocks: number;
  readonly blockSizeTokens: number;
  /** Cache blocks in one block id of the trace. */
  readonly blocksPerContent: number;
  readonly prefixCaching: boolean;
}

const NO_CONTENT: Int32Array = new Int32Array(0);

export class KvCache {
  readonly blocks: number;
  readonly blockSizeTokens: number;
  readonly #prefixCaching: boolean;
  readonly #blocksPerContent: number;
  readonly #extents: ExtentPool;

  /** Blocks in a request's table, by slot. Read by batching policies to see whether a request needs another block. */
  heldBlocks: Int32Array = new Int32Array(64);
  /** Leading blocks of a request whose content is hashed, by slot. */
  #hashedBlocks = new Int32Array(64);
  /** Leading blocks whose content is shared, by slot. */
  #sharedBlocks = new Int32Array(64);
  readonly #contents: Int32Array[] = [];
  /** Pairs (extent, blocks) of each slot's hashed blocks, in order. An extent that was split goes on in its successor. */
  readonly #tables: number[][] = [];

  /** Result of the last lookup: triples (extent, first block of its content, blocks). */
  readonly #hits: number[] = [];
  #hitBlocks = 0;
  /** Hit blocks that nobody uses: taking them uses up free blocks too. */
  #hitFreeBlocks = 0;

  constructor(shape: KvCacheShape) {
    this.blocks = shape.blocks;
    this.blockSizeTokens = shape.blockSizeTokens;
    this.#blocksPerContent = shape.blocksPerContent;
    this.#prefixCaching = shape.prefixCaching;
    this.#extents = new ExtentPool(shape.blocks);
  }

  get freeBlocks(): number {
    return this.#extents.freeBlocks;
  }

  get usedBlocks(): number {
    return this.blocks - this.#extents.freeBlocks;
  }

  /** Takes note of a request that has no blocks yet. `content`: block ids of its prompt, in order. */
  attach(slot: number, content: Int32Array | undefined, inputTokens: number): void {
    if (slot >= this.heldBlocks.length) this.#growSlots(slot);
    this.heldBlocks[slot] = 0;
    this.#hashedBlocks[slot] = 0;
    this.#contents[slot] = content ?? NO_CONTENT;
    this.#tables[slot] ??= [];
    this.#sharedBlocks[slot] = this.#sharedBlocksOf(content ?? NO_CONTENT, inputTokens);
  }

  /**
   * Tokens of a request without blocks that the cache holds, from its first token on: whole blocks, and at least one
   * token less than it has, since the last one must be computed to sample the next.
   */
  lookup(slot: number, knownTokens: number): number {
    const hits = this.#hits;
    hits.length = 0;
    this.#hitBlocks = 0;
    this.#hitFreeBlocks = 0;
    if (!this.#prefixCaching) return 0;
    const extents = this.#extents;
    const limit = Math.floor((knownTokens - 1) / this.blockSizeTokens);
    const shared = Math.min(this.#sharedBlocks[slot]!, limit);
    const content = this.#contents[slot]!;
    const perContent = this.#blocksPerContent;
    let block = 0;
    while (block < limit) {
      let owner: number;
      let first: number;
      let most: number;
      if (block < shared) {
        const index = Math.floor(block / perContent);
        owner = content[index]!;
        first = block - index * perContent;
        most = Math.min(perContent - first, shared - block);
      } else if (block >= this.#sharedBlocks[slot]!) {
        owner = extents.privateOwner(slot);
        first = block;
        most = limit - block;
      } else break;
      const extent = extents.find(owner, first);
      if (extent < 0) break;
      const found = Math.min(most, extents.foundBlocks);
      hits.push(extent, first, found);
      if (extents.users[extent] === 0) this.#hitFreeBlocks += found;
      block += found;
    }
    this.#hitBlocks = block;
    return block * this.blockSizeTokens;
  }

  /** Whether a request of this length could be given all its blocks now, beyond the hits of the last lookup. */
  fits(tokens: number, spareBlocks: number): boolean {
    const needed = Math.ceil(tokens / this.blockSizeTokens) - this.#hitBlocks + this.#hitFreeBlocks;
    return needed + spareBlocks <= this.#extents.freeBlocks;
  }

  /**
   * Gives a request the hits of the last lookup, which must have been its own, and room for `tokens` in all. The blocks
   * that `tokens` fill become visible to other requests at once, as in vLLM: a request scheduled later in the same step
   * may share them. `fits` must have said yes.
   */
  admit(slot: number, tokens: number): void {
    const extents = this.#extents;
    const table = this.#tables[slot]!;
    const hits = this.#hits;
    for (let i = 0; i < hits.length; i += 3)
      table.push(extents.use(hits[i]!, hits[i + 1]!, hits[i + 2]!), hits[i + 2]!);
    this.heldBlocks[slot] = this.#hitBlocks;
    this.#hashedBlocks[slot] = this.#hitBlocks;
    hits.length = 0;
    this.grow(slot, tokens);
  }

  /** Makes room for `tokens` in all. False, and nothing changed, when there are not enough free blocks. */
  grow(slot: number, tokens: number): boolean {
    const held = this.heldBlocks[slot]!;
    const needed = Math.ceil(tokens / this.blockSizeTokens);
    if (needed > held) {
      if (needed - held > this.#extents.freeBlocks) return false;
      this.#extents.take(needed - held);
      this.heldBlocks[slot] = needed;
    }
    if (this.#hashedBlocks[slot]! < this.#sharedBlocks[slot]!) this.#hashShared(slot, tokens);
    return true;
  }

  /** Takes blocks for running requests that go beyond those they hold; `giveTaken` says later whose they are. False: too few. */
  takeBlocks(blocks: number): boolean {
    if (blocks > this.#extents.freeBlocks) return false;
    this.#extents.take(blocks);
    return true;
  }

  /** A request of `tokens`, its prompt computed, has what it needs of the blocks that were taken. */
  giveTaken(slot: number, tokens: number): void {
    const needed = Math.ceil(tokens / this.blockSizeTokens);
    if (needed > this.heldBlocks[slot]!) this.heldBlocks[slot] = needed;
  }

  /** Sets blocks aside for `tokens` in all, whatever will be in them. There must be enough. */
  reserve(slot: number, tokens: number): void {
    const missing = Math.ceil(tokens / this.blockSizeTokens) - this.heldBlocks[slot]!;
    if (missing <= 0) return;
    this.#extents.take(missing);
    this.heldBlocks[slot]! += missing;
  }

  /** Frees all blocks of a request, tail first. What its computed tokens fill can still be found. */
  release(slot: number, computedTokens: number): void {
    const extents = this.#extents;
    const held = this.heldBlocks[slot]!;
    if (held === 0) return;
    if (this.#prefixCaching) this.#hashPrivate(slot, Math.min(held, Math.floor(computedTokens / this.blockSizeTokens)));
    extents.freeAnonymous(held - this.#hashedBlocks[slot]!);
    const table = this.#tables[slot]!;
    for (let i = table.length - 2; i >= 0; i -= 2) extents.release(table[i]!, table[i + 1]!);
    table.length = 0;
    this.heldBlocks[slot] = 0;
    this.#hashedBlocks[slot] = 0;
  }

  /** The request is gone: nobody will look for its private content again. The slot may be attached anew. */
  detach(slot: number): void {
    this.#extents.orphan(slot);
    this.#contents[slot] = NO_CONTENT;
  }

  /** Block ids that a request was attached with. */
  contentOf(slot: number): Int32Array {
    return this.#contents[slot]!;
  }

  /** Tokens of a prompt that the cache holds now, in use or not. For routers; changes nothing. */
  matchTokens(content: Int32Array | undefined, inputTokens: number): number {
    if (content === undefined || !this.#prefixCaching) return 0;
    const shared = Math.min(
      this.#sharedBlocksOf(content, inputTokens),
      Math.floor((inputTokens - 1) / this.blockSizeTokens),
    );
    let block = 0;
    while (block < shared) {
      const index = Math.floor(block / this.#blocksPerContent);
      const first = block - index * this.#blocksPerContent;
      if (this.#extents.find(content[index]!, first) < 0) break;
      block += Math.min(this.#blocksPerContent - first, shared - block, this.#extents.foundBlocks);
    }
    return block * this.blockSizeTokens;
  }

  /** Makes now the instant that `rememberedMatchTokens` answers for. */
  rememberContent(): void {
    this.#extents.remember();
  }

  /** What `matchTokens` said, or would have said, at the last `rememberContent`. */
  rememberedMatchTokens(content: Int32Array | undefined, inputTokens: number): number {
    if (content === undefined || !this.#prefixCaching) return 0;
    const shared = Math.min(
      this.#sharedBlocksOf(content, inputTokens),
      Math.floor((inputTokens - 1) / this.blockSizeTokens),
    );
    let block = 0;
    for (let index = 0; block < shared; index++) {
      const found = Math.min(this.#extents.rememberedLeadingBlocks(content[index]!), shared - block);
      block += found;
      if (found < this.#blocksPerContent) break;
    }
    return block * this.blockSizeTokens;
  }

  #sharedBlocksOf(content: Int32Array, inputTokens: number): number {
    return Math.min(Math.floor(inputTokens / this.blockSizeTokens), content.length * this.#blocksPerContent);
  }

  /** Hashes the shared blocks that `tokens` fill. */
  #hashShared(slot: number, tokens: number): void {
    if (!this.#prefixCaching) return;
    const end = Math.min(Math.floor(tokens / this.blockSizeTokens), this.#sharedBlocks[slot]!);
    const content = this.#contents[slot]!;
    const table = this.#tables[slot]!;
    const perContent = this.#blocksPerContent;
    let block = this.#hashedBlocks[slot]!;
    if (block >= end) return;
    while (block < end) {
      const index = Math.floor(block / perContent);
      const first = block - index * perContent;
      const blocks = Math.min(perContent - first, end - block);
      table.push(this.#extents.create(content[index]!, first, blocks), blocks);
      block += blocks;
    }
    this.#hashedBlocks[slot] = end;
  }

  /** Hashes the private blocks up to `end`. Late is as good as at once, since only the request itself can find them. */
  #hashPrivate(slot: number, end: number): void {
    const start = this.#hashedBlocks[slot]!;
    if (end <= start || start < this.#sharedBlocks[slot]!) return;
    const extents = this.#extents;
    this.#tables[slot]!.push(extents.create(extents.privateOwner(slot), start, end - start), end - start);
    this.#hashedBlocks[slot] = end;
  }

  #growSlots(slot: number): void {
    const capacity = Math.max(slot + 1, this.heldBlocks.length * 2);
    this.heldBlocks = grown(this.heldBlocks, capacity);
    this.#hashedBlocks = grown(this.#hashedBlocks, capacity);
    this.#sharedBlocks = grown(this.#sharedBlocks, capacity);
  }
}
