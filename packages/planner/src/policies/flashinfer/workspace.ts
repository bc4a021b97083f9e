// The size of what a FlashInfer planner lays out in a workspace: sections one after another, each at its alignment.

export class Workspace {
  bytes = 0;

  /** Reserves a section and returns its byte offset. */
  place(byteLength: number, alignment = 16): number {
    const offset = Math.ceil(this.bytes / alignment) * alignment;
    this.bytes = offset + byteLength;
    return offset;
  }

  /** Reserves a section of `count` int32 at an alignment of 16 bytes. */
  placeInts(count: number): number {
    return this.place(4 * count);
  }
}
