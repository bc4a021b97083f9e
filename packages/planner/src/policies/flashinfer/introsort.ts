// std::sort as libstdc++ has it (bits/stl_algo.h): quicksort around a median of three down to runs of 16, heap sort when
// the recursion grows too deep, one insertion sort over everything at the end. It is not stable, and the order in which
// it leaves equal keys is part of FlashInfer's plans: every swap below happens where libstdc++ swaps.

import type { KeyedIds } from "./heap.ts";
import { heapSortDescending } from "./heap.ts";

/** Runs of at most this many entries are left to the insertion sort (libstdc++'s _S_threshold). */
const RUN = 16;

/** Sorts the entries by descending key, equal keys in libstdc++'s order. */
export function introsortDescending(entries: KeyedIds): void {
  const length = entries.ids.length;
  if (length < 2) return;
  partitionLoop(entries, 0, length, 2 * Math.floor(Math.log2(length)));
  insertionSort(entries, 0, Math.min(length, RUN));
  for (let i = RUN; i < length; i++) insertUnguarded(entries, i);
}

function partitionLoop(entries: KeyedIds, first: number, last: number, depth: number): void {
  let end = last;
  for (let left = depth; end - first > RUN; left--) {
    if (left === 0) {
      const range = { ids: entries.ids.subarray(first, end), keys: entries.keys.subarray(first, end) };
      heapSortDescending(range, end - first);
      return;
    }
    const cut = partition(entries, first, end);
    partitionLoop(entries, cut, end, left - 1);
    end = cut;
  }
}

/** Puts the median of three at `first`, then splits (first, last) around it. Returns where the right part begins. */
function partition(entries: KeyedIds, first: number, last: number): number {
  const { keys } = entries;
  medianToFirst(entries, first, first + 1, first + ((last - first) >> 1), last - 1);
  const pivot = keys[first]!;
  let low = first + 1;
  let high = last;
  for (;;) {
    while (keys[low]! > pivot) low++;
    high--;
    while (pivot > keys[high]!) high--;
    if (low >= high) return low;
    swap(entries, low, high);
    low++;
  }
}

function medianToFirst(entries: KeyedIds, first: number, a: number, b: number, c: number): void {
  const { keys } = entries;
  const keyA = keys[a]!;
  const keyB = keys[b]!;
  const keyC = keys[c]!;
  let median: number;
  if (keyA > keyB) {
    if (keyB > keyC) median = b;
    else median = keyA > keyC ? c : a;
  } else if (keyA > keyC) median = a;
  else median = keyB > keyC ? c : b;
  swap(entries, first, median);
}

function insertionSort(entries: KeyedIds, first: number, last: number): void {
  const { ids, keys } = entries;
  for (let i = first + 1; i < last; i++) {
    const key = keys[i]!;
    if (key > keys[first]!) {
      const id = ids[i]!;
      ids.copyWithin(first + 1, first, i);
      keys.copyWithin(first + 1, first, i);
      ids[first] = id;
      keys[first] = key;
    } else {
      insertUnguarded(entries, i);
    }
  }
}

/** Moves entry i left past smaller keys. Some entry to its left is known not to be smaller. */
function insertUnguarded({ ids, keys }: KeyedIds, i: number): void {
  const id = ids[i]!;
  const key = keys[i]!;
  let at = i;
  while (key > keys[at - 1]!) {
    ids[at] = ids[at - 1]!;
    keys[at] = keys[at - 1]!;
    at--;
  }
  ids[at] = id;
  keys[at] = key;
}

function swap({ ids, keys }: KeyedIds, a: number, b: number): void {
  const id = ids[a]!;
  const key = keys[a]!;
  ids[a] = ids[b]!;
  keys[a] = keys[b]!;
  ids[b] = id;
  keys[b] = key;
}
