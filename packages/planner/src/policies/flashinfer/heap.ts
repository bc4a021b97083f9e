// Binary heaps in libstdc++'s order of equal keys, over two parallel arrays (ids and keys).
//
// Every comparison is "the key of a is greater than the key of b": std::push_heap and std::pop_heap then keep a least key
// on top, and std::sort with the same comparison sorts descending. Which of several equal keys comes out first follows
// from where sifting stops, so the two sift procedures below stop exactly where libstdc++'s do: bits/stl_heap.h first
// moves the hole to a leaf along the preferred children, then moves the value up from there.

/** Ids with their keys, ids[i] belongs to keys[i]. Keys are integers or float32 values, exact in float64. */
export interface KeyedIds {
  readonly ids: Int32Array;
  readonly keys: Float64Array;
}

/** Moves (id, key) up from `hole` until its parent is not greater, never above `top`. */
function siftUp({ ids, keys }: KeyedIds, hole: number, top: number, id: number, key: number): void {
  let at = hole;
  while (at > top) {
    const parent = (at - 1) >> 1;
    if (keys[parent]! <= key) break;
    ids[at] = ids[parent]!;
    keys[at] = keys[parent]!;
    at = parent;
  }
  ids[at] = id;
  keys[at] = key;
}

/** Fills the hole at `top` of a heap of `length` entries with (id, key): the hole sinks to a leaf, then the value rises. */
function siftDown(heap: KeyedIds, top: number, length: number, id: number, key: number): void {
  const { ids, keys } = heap;
  let hole = top;
  let child = 2 * hole + 2;
  while (child < length) {
    // The right child, unless it is greater than the left one.
    if (keys[child]! > keys[child - 1]!) child--;
    ids[hole] = ids[child]!;
    keys[hole] = keys[child]!;
    hole = child;
    child = 2 * hole + 2;
  }
  if (child === length) {
    // A last left child without a sibling.
    ids[hole] = ids[child - 1]!;
    keys[hole] = keys[child - 1]!;
    hole = child - 1;
  }
  siftUp(heap, hole, top, id, key);
}

/** std::push_heap: the entry at length − 1 joins the heap of the entries before it. */
export function pushHeap(heap: KeyedIds, length: number): void {
  const last = length - 1;
  siftUp(heap, last, 0, heap.ids[last]!, heap.keys[last]!);
}

/** std::pop_heap: a least entry moves to length − 1; the entries before it are a heap again. */
export function popHeap(heap: KeyedIds, length: number): void {
  if (length < 2) return;
  const { ids, keys } = heap;
  const last = length - 1;
  const id = ids[last]!;
  const key = keys[last]!;
  ids[last] = ids[0]!;
  keys[last] = keys[0]!;
  siftDown(heap, 0, last, id, key);
}

/** std::make_heap followed by std::sort_heap: descending keys. The entries are [0, length) of the arrays. */
export function heapSortDescending(heap: KeyedIds, length: number): void {
  for (let parent = ((length - 2) / 2) | 0; length > 1 && parent >= 0; parent--) {
    siftDown(heap, parent, length, heap.ids[parent]!, heap.keys[parent]!);
  }
  for (let end = length; end > 1; end--) popHeap(heap, end);
}
