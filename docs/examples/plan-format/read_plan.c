/* Reads a plan file of Isochron (docs/plan-format.md) and prints a summary. C99, no dependency.
 *
 *   cc -std=c99 -O2 -o read_plan read_plan.c
 *   ./read_plan batch.plan
 *
 * The file is taken as hostile: every count is checked against its capacity, every capacity against the section
 * offsets, every offset against the file, every index against what it points into, before it is used. Exit code 0, or
 * 1 with one line on stderr. Bytes are put together by hand, so it reads right on a big-endian machine too.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC = 0x504f5349, VERSION = 1, HEADER_BYTES = 256, ALIGNMENT = 16 };

/* Header: index of each int32 field that is used here. */
enum {
  H_MAGIC = 0, H_VERSION = 1, H_HEADER_BYTES = 2, H_TOTAL_BYTES = 3, H_USED_BYTES = 4, H_FINGERPRINT = 5,
  H_POLICY = 6, H_LAUNCH = 7, H_MERGE_LAUNCH = 8, H_MERGE_ORDER = 9, H_MERGE_GRID_TOKENS = 10, H_WORKERS = 13,
  H_QUERY_HEADS = 14, H_KV_HEADS = 15, H_HEAD_DIM = 16, H_VALUE_HEAD_DIM = 17, H_DTYPE = 18, H_KV_DTYPE = 19,
  H_PAGE_SIZE = 20, H_MASK_KIND = 21, H_WINDOW = 22, H_PACKED_HEADS = 23, H_KV_TILE_TOKENS = 24,
  H_SLOT_ROWS = 25, H_SINKS = 26, H_SOFT_CAP_BITS = 27,
  H_REQUESTS = 28, H_PIECE_RECORDS = 29, H_PIECES = 30, H_MERGES = 31,
  H_MERGE_SOURCES = 32, H_PARTIAL_SLOTS = 33, H_SPLIT_JOBS = 34, H_MERGE_ROWS = 35, H_GROUPS = 36,
  H_GROUP_MEMBERS = 37,
  H_WORKER_CAPACITY = 38, H_REQUEST_CAPACITY = 39, H_PIECE_CAPACITY = 40, H_MERGE_CAPACITY = 41,
  H_MERGE_SOURCE_CAPACITY = 42, H_PARTIAL_SLOT_CAPACITY = 43, H_GROUP_CAPACITY = 44, H_GROUP_MEMBER_CAPACITY = 45,
  H_REQUESTS_OFFSET = 46, H_WORKER_PIECE_INDPTR_OFFSET = 47, H_WORKER_MERGE_INDPTR_OFFSET = 48,
  H_GROUP_INDPTR_OFFSET = 49, H_GROUP_MEMBERS_OFFSET = 50, H_MERGES_OFFSET = 51, H_MERGE_SOURCES_OFFSET = 52,
  H_PIECES_OFFSET = 53, H_GROUP_RANGES_OFFSET = 55, H_MAKESPAN_NS = 56, H_LOWER_BOUND_NS = 58
};

/* Fields of the records. */
enum { REQUEST_STRIDE = 4, R_QUERY_START = 0, R_QO_LEN = 1, R_KV_LEN = 2 };
enum { PIECE_STRIDE = 8, P_REQUEST = 0, P_HEAD = 1, P_HEAD_COUNT = 2, P_ROW_START = 3, P_ROWS = 4, P_KV_START = 5,
       P_KV_END = 6, P_SLOT = 7 };
enum { GROUP_RANGE_STRIDE = 2, G_KV_START = 0, G_KV_END = 1 };
enum { MERGE_STRIDE = 8, M_SOURCE_START = 4, M_SOURCE_END = 5 };
enum { SOURCE_STRIDE = 2, S_SLOT = 0, S_SLOT_ROW = 1 };

/* Sections in the order in which they lie. */
enum { REQUESTS, WORKER_PIECE_INDPTR, WORKER_MERGE_INDPTR, GROUP_INDPTR, GROUP_MEMBERS, GROUP_RANGES, MERGES,
       MERGE_SOURCES, PIECES, SECTIONS };
static const int OFFSET_FIELDS[SECTIONS] = {
  H_REQUESTS_OFFSET, H_WORKER_PIECE_INDPTR_OFFSET, H_WORKER_MERGE_INDPTR_OFFSET, H_GROUP_INDPTR_OFFSET,
  H_GROUP_MEMBERS_OFFSET, H_GROUP_RANGES_OFFSET, H_MERGES_OFFSET, H_MERGE_SOURCES_OFFSET, H_PIECES_OFFSET
};

/* Append only; the index is the number in the file. */
static const char *const POLICIES[] = {
  "balanced", "none", "tight", "invariant", "auto", "fixed-split", "flashinfer-decode", "flashinfer-fa2",
  "flashinfer-holistic", "flashinfer-fa3", "flashinfer-mla", "fa-uniform", "fa3-varlen", "flashmla", "stream-k",
  "flashinfer-decode-graph", "flashinfer-fa2-graph", "custom", "fa2-paged",
  "fa2-paged-graph"
};
static const char *const LAUNCHES[] = { "persistent", "grid" };
static const char *const MERGE_LAUNCHES[] = { "none", "fused", "separate" };
static const char *const MERGE_ORDERS[] = { "sequential", "canonicalTree" };
static const char *const DTYPES[] = { "bf16", "fp16", "fp32", "fp8_e4m3", "fp8_e5m2" };
static const char *const MASKS[] = { "causal", "full", "sliding-window" };
#define COUNT_OF(names) ((int32_t)(sizeof(names) / sizeof((names)[0])))

static void refuse(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("read_plan: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

static unsigned char *bytes; /* the file */
static size_t size;

static uint32_t word_at(uint64_t offset) {
  const unsigned char *p = bytes + offset;
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Two's complement without relying on the machine's own conversion. */
static int32_t int32_at(uint64_t offset) {
  uint32_t word = word_at(offset);
  return word < 0x80000000u ? (int32_t)word : -(int32_t)(0xffffffffu - word) - 1;
}

static double float64_at(uint64_t offset) {
  uint64_t bits = (uint64_t)word_at(offset) | (uint64_t)word_at(offset + 4) << 32;
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static float float32_at(uint64_t offset) {
  uint32_t bits = word_at(offset);
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static int32_t header(int field) { return int32_at(4 * (uint64_t)field); }

static const char *name_of(const char *what, int field, const char *const *names, int32_t count) {
  int32_t index = header(field);
  if (index < 0 || index >= count) refuse("%s is %" PRId32 ", expected 0 to %" PRId32, what, index, count - 1);
  return names[index];
}

static void read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  size_t capacity = 1 << 16;
  if (file == NULL) refuse("cannot open %s", path);
  bytes = malloc(capacity);
  if (bytes == NULL) refuse("out of memory");
  for (;;) {
    size_t got = fread(bytes + size, 1, capacity - size, file);
    size += got;
    if (got == 0) break;
    if (size == capacity) {
      unsigned char *larger = realloc(bytes, capacity *= 2);
      if (larger == NULL) refuse("out of memory");
      bytes = larger;
    }
  }
  if (ferror(file)) refuse("cannot read %s", path);
  fclose(file);
}

/* Byte offset of each section, checked: the layout is a function of the capacities, and must be the header's own. */
static uint64_t offsets[SECTIONS];

static void check_header(void) {
  uint64_t end = HEADER_BYTES, lengths[SECTIONS];
  int field, section;
  if (size < HEADER_BYTES) refuse("found %zu bytes, expected a header of %d", size, HEADER_BYTES);
  if (header(H_MAGIC) != MAGIC) refuse("not a plan: the first four bytes are not ISOP");
  if (header(H_VERSION) != VERSION) refuse("plan version %" PRId32 ", expected %d", header(H_VERSION), VERSION);
  if (header(H_HEADER_BYTES) != HEADER_BYTES) refuse("headerBytes is %" PRId32, header(H_HEADER_BYTES));
  if (header(H_WORKERS) < 0) refuse("workers is negative");
  for (field = H_REQUESTS; field <= H_GROUP_MEMBER_CAPACITY; field++)
    if (header(field) < 0) refuse("header field %d is %" PRId32 ", expected a count", field, header(field));

  lengths[REQUESTS] = (uint64_t)header(H_REQUEST_CAPACITY) * REQUEST_STRIDE;
  lengths[WORKER_PIECE_INDPTR] = lengths[WORKER_MERGE_INDPTR] = (uint64_t)header(H_WORKER_CAPACITY) + 1;
  lengths[GROUP_INDPTR] = (uint64_t)header(H_GROUP_CAPACITY) + 1;
  lengths[GROUP_MEMBERS] = (uint64_t)header(H_GROUP_MEMBER_CAPACITY);
  lengths[GROUP_RANGES] = (uint64_t)header(H_GROUP_CAPACITY) * GROUP_RANGE_STRIDE;
  lengths[MERGES] = (uint64_t)header(H_MERGE_CAPACITY) * MERGE_STRIDE;
  lengths[MERGE_SOURCES] = (uint64_t)header(H_MERGE_SOURCE_CAPACITY) * SOURCE_STRIDE;
  lengths[PIECES] = (uint64_t)header(H_PIECE_CAPACITY) * PIECE_STRIDE;
  for (section = 0; section < SECTIONS; section++) {
    offsets[section] = end;
    if ((int64_t)end != header(OFFSET_FIELDS[section]))
      refuse("section %d lies at %" PRId32 ", expected %" PRIu64, section, header(OFFSET_FIELDS[section]), end);
    end += (lengths[section] * 4 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  }
  if ((int64_t)end != header(H_TOTAL_BYTES)) refuse("totalBytes is %" PRId32, header(H_TOTAL_BYTES));

  if (header(H_WORKERS) > header(H_WORKER_CAPACITY) || header(H_REQUESTS) > header(H_REQUEST_CAPACITY) ||
      header(H_PIECE_RECORDS) > header(H_PIECE_CAPACITY) || header(H_MERGES) > header(H_MERGE_CAPACITY) ||
      header(H_MERGE_SOURCES) > header(H_MERGE_SOURCE_CAPACITY) ||
      header(H_PARTIAL_SLOTS) > header(H_PARTIAL_SLOT_CAPACITY) || header(H_GROUPS) > header(H_GROUP_CAPACITY) ||
      header(H_GROUP_MEMBERS) > header(H_GROUP_MEMBER_CAPACITY))
    refuse("a count is over its capacity");
  if ((int64_t)(offsets[PIECES] + (uint64_t)header(H_PIECE_RECORDS) * PIECE_STRIDE * 4) != header(H_USED_BYTES))
    refuse("usedBytes is %" PRId32, header(H_USED_BYTES));
  if (size < (uint64_t)header(H_USED_BYTES))
    refuse("found %zu bytes, the plan says it uses %" PRId32, size, header(H_USED_BYTES));
  if (header(H_KV_TILE_TOKENS) < 1) refuse("kvTileTokens is %" PRId32, header(H_KV_TILE_TOKENS));
  if (header(H_KV_HEADS) < 1 || header(H_QUERY_HEADS) < header(H_KV_HEADS) ||
      header(H_QUERY_HEADS) % header(H_KV_HEADS) != 0)
    refuse("%" PRId32 " query heads on %" PRId32 " KV heads", header(H_QUERY_HEADS), header(H_KV_HEADS));
  if (header(H_PACKED_HEADS) != 1 && header(H_PACKED_HEADS) != header(H_QUERY_HEADS) / header(H_KV_HEADS))
    refuse("packedHeads is %" PRId32, header(H_PACKED_HEADS));
  name_of("policy", H_POLICY, POLICIES, COUNT_OF(POLICIES));
  name_of("launch", H_LAUNCH, LAUNCHES, COUNT_OF(LAUNCHES));
  name_of("mergeLaunch", H_MERGE_LAUNCH, MERGE_LAUNCHES, COUNT_OF(MERGE_LAUNCHES));
  name_of("mergeOrder", H_MERGE_ORDER, MERGE_ORDERS, COUNT_OF(MERGE_ORDERS));
  name_of("dtype", H_DTYPE, DTYPES, 3);
  name_of("kvDtype", H_KV_DTYPE, DTYPES, COUNT_OF(DTYPES));
  name_of("maskKind", H_MASK_KIND, MASKS, COUNT_OF(MASKS));
}

static int32_t entry(int section, uint64_t index) { return int32_at(offsets[section] + 4 * index); }
static int32_t piece(uint64_t record, int field) { return entry(PIECES, record * PIECE_STRIDE + field); }

/* CSR row pointers: from 0, never falling, up to `count`. */
static void check_ranges(const char *what, int section, int32_t rows, int32_t count) {
  int32_t previous = 0, row;
  for (row = 0; row <= rows; row++) {
    int32_t value = entry(section, row);
    if (value < previous || value > count || (row == 0 && value != 0))
      refuse("%s[%" PRId32 "] is %" PRId32 " after %" PRId32, what, row, value, previous);
    previous = value;
  }
  if (previous != count) refuse("%s ends at %" PRId32 ", expected %" PRId32, what, previous, count);
}

/* Query tokens and KV tokens that a piece may touch: of its request, or of group -1 - request. */
static void owner_size(int32_t request, int64_t *query_tokens, int32_t *kv_end) {
  *query_tokens = 0;
  if (request >= 0) {
    *query_tokens = entry(REQUESTS, (uint64_t)request * REQUEST_STRIDE + R_QO_LEN);
    *kv_end = entry(REQUESTS, (uint64_t)request * REQUEST_STRIDE + R_KV_LEN);
  } else {
    uint64_t group = (uint64_t)(-1 - request);
    int32_t m;
    for (m = entry(GROUP_INDPTR, group); m < entry(GROUP_INDPTR, group + 1); m++)
      *query_tokens += entry(REQUESTS, (uint64_t)entry(GROUP_MEMBERS, m) * REQUEST_STRIDE + R_QO_LEN);
    *kv_end = entry(GROUP_RANGES, group * GROUP_RANGE_STRIDE + G_KV_END);
  }
}

static void check_groups(void) {
  int32_t m, g;
  for (m = 0; m < header(H_GROUP_MEMBERS); m++)
    if (entry(GROUP_MEMBERS, m) < 0 || entry(GROUP_MEMBERS, m) >= header(H_REQUESTS))
      refuse("group member %" PRId32 " is request %" PRId32, m, entry(GROUP_MEMBERS, m));
  for (g = 0; g < header(H_GROUPS); g++) {
    int32_t start = entry(GROUP_RANGES, (uint64_t)g * GROUP_RANGE_STRIDE + G_KV_START);
    if (start < 0 || entry(GROUP_RANGES, (uint64_t)g * GROUP_RANGE_STRIDE + G_KV_END) <= start)
      refuse("group %" PRId32 " has no KV tokens", g);
  }
}

static void check_records(void) {
  int32_t i, heads = header(H_QUERY_HEADS) / header(H_PACKED_HEADS), sources = 0;
  int64_t pieces = 0;
  for (i = 0; i < header(H_REQUESTS); i++)
    if (entry(REQUESTS, (uint64_t)i * REQUEST_STRIDE + R_QO_LEN) < 0 ||
        entry(REQUESTS, (uint64_t)i * REQUEST_STRIDE + R_KV_LEN) < 0)
      refuse("request %" PRId32 " has a negative length", i);
  for (i = 0; i < header(H_PIECE_RECORDS); i++) {
    int32_t request = piece(i, P_REQUEST), slot = piece(i, P_SLOT), rows = piece(i, P_ROWS) & 0xffff;
    int32_t kv_end;
    int64_t query_tokens;
    if (request < -header(H_GROUPS) || request >= header(H_REQUESTS))
      refuse("piece record %" PRId32 ": request %" PRId32, i, request);
    if (piece(i, P_HEAD) < 0 || piece(i, P_HEAD_COUNT) < 1 ||
        (int64_t)piece(i, P_HEAD) + piece(i, P_HEAD_COUNT) > heads)
      refuse("piece record %" PRId32 ": heads out of range", i);
    owner_size(request, &query_tokens, &kv_end);
    if (rows < 1 || piece(i, P_ROW_START) < 0 ||
        (int64_t)piece(i, P_ROW_START) + rows > query_tokens * header(H_PACKED_HEADS))
      refuse("piece record %" PRId32 ": rows out of range", i);
    if (piece(i, P_KV_START) < 0 || piece(i, P_KV_END) < piece(i, P_KV_START) || piece(i, P_KV_END) > kv_end)
      refuse("piece record %" PRId32 ": KV range out of range", i);
    if (slot < -1 || (slot >= 0 && slot >= header(H_PARTIAL_SLOTS)))
      refuse("piece record %" PRId32 ": slot %" PRId32, i, slot);
    if (slot >= 0 && rows > header(H_SLOT_ROWS)) refuse("piece record %" PRId32 ": more rows than a slot has", i);
    pieces += piece(i, P_HEAD_COUNT);
  }
  if (pieces != header(H_PIECES)) refuse("pieceCount is %" PRId32 ", counted %" PRId64, header(H_PIECES), pieces);
  for (i = 0; i < header(H_MERGES); i++) {
    int32_t start = entry(MERGES, (uint64_t)i * MERGE_STRIDE + M_SOURCE_START);
    int32_t end = entry(MERGES, (uint64_t)i * MERGE_STRIDE + M_SOURCE_END);
    if (start != sources || end <= start || end > header(H_MERGE_SOURCES))
      refuse("merge %" PRId32 ": sources [%" PRId32 ", %" PRId32 ")", i, start, end);
    sources = end;
  }
  if (sources != header(H_MERGE_SOURCES)) refuse("mergeSourceCount is %" PRId32, header(H_MERGE_SOURCES));
  for (i = 0; i < header(H_MERGE_SOURCES); i++) {
    int32_t slot = entry(MERGE_SOURCES, (uint64_t)i * SOURCE_STRIDE + S_SLOT);
    int32_t row = entry(MERGE_SOURCES, (uint64_t)i * SOURCE_STRIDE + S_SLOT_ROW);
    if (slot < 0 || slot >= header(H_PARTIAL_SLOTS) || row < 0 || row >= header(H_SLOT_ROWS))
      refuse("merge source %" PRId32 ": row %" PRId32 " of slot %" PRId32, i, row, slot);
  }
}

/* KV tiles that tokens [start, end) touch. */
static int64_t tiles_of(int32_t start, int32_t end) {
  int64_t tile = header(H_KV_TILE_TOKENS);
  return end > start ? (end + tile - 1) / tile - start / tile : 0;
}

int main(int argc, char **argv) {
  int32_t w, i;
  int64_t query_tokens = 0, kv_tokens = 0, write_through = 0, partial = 0;
  int64_t min_pieces = 0, max_pieces = 0, min_tiles = 0, max_tiles = 0;
  double makespan, lower_bound;
  if (argc != 2) refuse("usage: read_plan FILE");
  read_file(argv[1]);
  check_header();
  check_ranges("workerPieceIndptr", WORKER_PIECE_INDPTR, header(H_WORKERS), header(H_PIECE_RECORDS));
  check_ranges("workerMergeIndptr", WORKER_MERGE_INDPTR, header(H_WORKERS), header(H_MERGES));
  check_ranges("groupIndptr", GROUP_INDPTR, header(H_GROUPS), header(H_GROUP_MEMBERS));
  check_groups();
  check_records();
  makespan = float64_at(4 * H_MAKESPAN_NS);
  lower_bound = float64_at(4 * H_LOWER_BOUND_NS);
  if (!(makespan >= 0 && makespan < 1e300 && lower_bound >= 0 && lower_bound < 1e300))
    refuse("makespan or lower bound is not a finite number >= 0");

  for (i = 0; i < header(H_REQUESTS); i++) {
    query_tokens += entry(REQUESTS, (uint64_t)i * REQUEST_STRIDE + R_QO_LEN);
    kv_tokens += entry(REQUESTS, (uint64_t)i * REQUEST_STRIDE + R_KV_LEN);
  }
  for (w = 0; w < header(H_WORKERS); w++) {
    int64_t pieces = 0, tiles = 0;
    for (i = entry(WORKER_PIECE_INDPTR, w); i < entry(WORKER_PIECE_INDPTR, (uint64_t)w + 1); i++) {
      int64_t heads = piece(i, P_HEAD_COUNT);
      pieces += heads;
      tiles += heads * tiles_of(piece(i, P_KV_START), piece(i, P_KV_END));
      if (piece(i, P_SLOT) < 0) write_through += heads;
      else partial += heads;
    }
    if (w == 0 || pieces < min_pieces) min_pieces = pieces;
    if (w == 0 || pieces > max_pieces) max_pieces = pieces;
    if (w == 0 || tiles < min_tiles) min_tiles = tiles;
    if (w == 0 || tiles > max_tiles) max_tiles = tiles;
  }

  printf("policy: %s\n", name_of("policy", H_POLICY, POLICIES, COUNT_OF(POLICIES)));
  printf("launch: %s\n", name_of("launch", H_LAUNCH, LAUNCHES, COUNT_OF(LAUNCHES)));
  printf("merge launch: %s\n", name_of("mergeLaunch", H_MERGE_LAUNCH, MERGE_LAUNCHES, COUNT_OF(MERGE_LAUNCHES)));
  printf("merge order: %s, grid of %" PRId32 " tokens\n",
         name_of("mergeOrder", H_MERGE_ORDER, MERGE_ORDERS, COUNT_OF(MERGE_ORDERS)), header(H_MERGE_GRID_TOKENS));
  printf("heads: %" PRId32 " query, %" PRId32 " KV, %" PRId32 " packed\n", header(H_QUERY_HEADS), header(H_KV_HEADS),
         header(H_PACKED_HEADS));
  printf("head dimensions: %" PRId32 " query and key, %" PRId32 " value\n", header(H_HEAD_DIM),
         header(H_VALUE_HEAD_DIM));
  printf("types: %s, KV %s\n", name_of("dtype", H_DTYPE, DTYPES, 3),
         name_of("kvDtype", H_KV_DTYPE, DTYPES, COUNT_OF(DTYPES)));
  printf("mask: %s, window %" PRId32 "\n", name_of("maskKind", H_MASK_KIND, MASKS, COUNT_OF(MASKS)), header(H_WINDOW));
  printf("soft cap: %.3f, sinks %" PRId32 "\n", (double)float32_at(4 * H_SOFT_CAP_BITS), header(H_SINKS));
  printf("page size: %" PRId32 ", KV tile: %" PRId32 " tokens\n", header(H_PAGE_SIZE), header(H_KV_TILE_TOKENS));
  printf("requests: %" PRId32 ", query tokens: %" PRId64 ", KV tokens: %" PRId64 "\n", header(H_REQUESTS), query_tokens,
         kv_tokens);
  printf("shared prefixes: %" PRId32 " groups, %" PRId32 " members\n", header(H_GROUPS), header(H_GROUP_MEMBERS));
  printf("workers: %" PRId32 "\n", header(H_WORKERS));
  printf("pieces: %" PRId32 " in %" PRId32 " records\n", header(H_PIECES), header(H_PIECE_RECORDS));
  printf("pieces per worker: %" PRId64 " to %" PRId64 "\n", min_pieces, max_pieces);
  printf("KV tiles per worker: %" PRId64 " to %" PRId64 "\n", min_tiles, max_tiles);
  printf("write-through pieces: %" PRId64 ", partial pieces: %" PRId64 "\n", write_through, partial);
  printf("split jobs: %" PRId32 ", partial slots: %" PRId32 " of %" PRId32 " rows\n", header(H_SPLIT_JOBS),
         header(H_PARTIAL_SLOTS), header(H_SLOT_ROWS));
  printf("merges: %" PRId32 " from %" PRId32 " sources, rows merged: %" PRId32 "\n", header(H_MERGES),
         header(H_MERGE_SOURCES), header(H_MERGE_ROWS));
  printf("makespan: %.3f us\n", makespan / 1000);
  printf("lower bound: %.3f us\n", lower_bound / 1000);
  printf("imbalance: %.4f\n", lower_bound == 0 ? 1 : makespan / lower_bound);
  printf("bytes: %" PRId32 " used of %" PRId32 "\n", header(H_USED_BYTES), header(H_TOTAL_BYTES));
  printf("fingerprint: %08" PRIx32 "\n", word_at(4 * H_FINGERPRINT));
  free(bytes);
  return 0;
}
