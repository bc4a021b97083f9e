// Recordings of FlashInfer's planners: files of { meta, cases: [{ id, planner, input, output }] }, read strictly, and the
// comparison of a recorded output with one that was computed here.

import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gunzipSync } from "node:zlib";

/** A recording that cannot be used: which file, which case, what is wrong and what to do. */
export class RecordingError extends Error {
  name = "RecordingError";

  constructor(file, message) {
    super(`${file}: ${message}`);
    this.file = file;
  }
}

const isInteger = (low) => ({ says: `an integer ≥ ${low}`, accepts: (v) => Number.isSafeInteger(v) && v >= low });
const isFlag = { says: "true or false", accepts: (v) => typeof v === "boolean" };
const isIntegers = {
  says: "an array of integers ≥ 0",
  accepts: (v) => Array.isArray(v) && v.every((x) => Number.isSafeInteger(x) && x >= 0),
};

/** Every field of an input, and what it may hold. `occ` is needed by the decode planner alone. */
const INPUT_FIELDS = {
  num_sm: isInteger(1),
  occ: isInteger(1),
  num_qo_heads: isInteger(1),
  num_kv_heads: isInteger(1),
  head_dim_qk: isInteger(1),
  head_dim_vo: isInteger(1),
  page_size: isInteger(1),
  causal: isFlag,
  enable_cuda_graph: isFlag,
  window_left: isInteger(-1),
  fixed_split_size: isInteger(-1),
  disable_split_kv: isFlag,
  num_colocated_ctas: isInteger(0),
  uniform_q_len: isInteger(-1),
  total_num_rows: isInteger(0),
  batch_size: isInteger(0),
  qo_indptr: isIntegers,
  kv_indptr: isIntegers,
  kv_len: isIntegers,
};

/** Fields in which a recording speaks about itself; they must be true, and no planner emits them. */
const SELF_CHECKS = new Set(["plan_buffers_match_split_fn", "gathered_arrays_match_batch_indices"]);
/** Remarks of a recording, compared with nothing. */
const REMARKS = new Set(["warning", "corrupt", "error"]);

/** All cases of the *.json and *.json.gz files of a directory, by file name. Throws RecordingError. */
export function readRecordings(directory) {
  let names;
  try {
    names = readdirSync(directory);
  } catch (error) {
    throw new RecordingError(directory, `cannot be listed (${error.code}); give a directory of recordings`);
  }
  const files = names.filter((name) => /\.json(\.gz)?$/.test(name)).sort();
  if (files.length === 0) throw new RecordingError(directory, "holds no .json or .json.gz file of recordings");
  return files.flatMap((name) => readRecordingFile(join(directory, name)));
}

/** The cases of one file. Throws RecordingError. */
export function readRecordingFile(path) {
  const file = basename(path);
  let document;
  try {
    const bytes = readFileSync(path);
    document = JSON.parse((path.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8"));
  } catch (error) {
    throw new RecordingError(file, `cannot be read as JSON: ${error.message}`);
  }
  if (!Array.isArray(document?.cases)) throw new RecordingError(file, 'has no array "cases"');
  return document.cases.map((recorded, index) => validateCase(file, recorded, index));
}

/** Why a case is left out, or undefined when it can be compared. */
export function skipReason({ output }) {
  if (output === undefined) return "inputs only";
  if (output.corrupt) return "corrupt";
  if (output.error) return "error";
  return undefined;
}

/**
 * Where two outputs first differ, as { field, index, expected, got }, or undefined when they are equal. Both sides must
 * have the same fields; `expected` decides the order in which they are compared.
 */
export function firstDifference(expected, got, field = "") {
  if (Array.isArray(expected)) {
    if (got === null || typeof got !== "object" || typeof got.length !== "number") {
      return { field, expected: `an array of ${expected.length}`, got };
    }
    for (let i = 0; i < Math.max(expected.length, got.length); i++) {
      if (i >= expected.length || i >= got.length) return { field, index: i, expected: expected[i], got: got[i] };
      if (typeof expected[i] === "object") {
        const difference = firstDifference(expected[i], got[i], `${field}[${i}]`);
        if (difference) return difference;
      } else if (expected[i] !== got[i]) {
        return { field, index: i, expected: expected[i], got: got[i] };
      }
    }
    return undefined;
  }
  if (expected !== null && typeof expected === "object") {
    if (got === null || typeof got !== "object") return { field, expected: "an object", got };
    for (const key of new Set([...Object.keys(expected), ...Object.keys(got)])) {
      const path = field === "" ? key : `${field}.${key}`;
      if (REMARKS.has(key)) continue;
      if (SELF_CHECKS.has(key)) {
        if (expected[key] !== true) return { field: path, expected: true, got: expected[key] };
        continue;
      }
      if (!(key in got)) return { field: path, expected: expected[key], got: "(no such field)" };
      if (!(key in expected)) return { field: path, expected: "(not recorded)", got: got[key] };
      const difference = firstDifference(expected[key], got[key], path);
      if (difference) return difference;
    }
    return undefined;
  }
  // Beyond 2^53 a recording may hold the number itself, which JSON cannot carry exactly, or null.
  if (got === null && typeof expected === "number" && !Number.isSafeInteger(expected)) return undefined;
  return Object.is(expected, got) ? undefined : { field, expected, got };
}

function validateCase(file, recorded, index) {
  const id = typeof recorded?.id === "string" ? recorded.id : `cases[${index}]`;
  const fail = (message) => {
    throw new RecordingError(file, `${id}: ${message}`);
  };
  if (recorded === null || typeof recorded !== "object") fail("is not an object");
  const { input, output } = recorded;
  if (input === null || typeof input !== "object") fail('has no object "input"');
  if (output !== undefined && (output === null || typeof output !== "object")) fail('"output" is not an object');
  // A case of inputs alone names its planner in its id.
  const planner = recorded.planner ?? id.split("/")[0];
  for (const [field, kind] of Object.entries(INPUT_FIELDS)) {
    if (field === "occ" && planner !== "decode" && (input.occ ?? null) === null) continue;
    if (!(field in input)) {
      fail(`input.${field} is missing, expected ${kind.says}`);
    }
    if (!kind.accepts(input[field])) {
      fail(`input.${field} is ${JSON.stringify(input[field])?.slice(0, 60)}, expected ${kind.says}`);
    }
  }
  for (const field of Object.keys(input)) {
    if (!(field in INPUT_FIELDS)) fail(`input.${field} is not a field that a planner takes`);
  }
  if (input.num_qo_heads % input.num_kv_heads !== 0) {
    fail(`input.num_qo_heads is ${input.num_qo_heads}, expected a multiple of num_kv_heads (${input.num_kv_heads})`);
  }
  const lengths = { qo_indptr: input.batch_size + 1, kv_indptr: input.batch_size + 1, kv_len: input.batch_size };
  for (const [field, length] of Object.entries(lengths)) {
    if (input[field].length !== length) {
      fail(`input.${field} has ${input[field].length} entries, expected ${length} (batch_size ${input.batch_size})`);
    }
  }
  for (const field of ["qo_indptr", "kv_indptr"]) {
    const falls = input[field].findIndex((value, i) => i > 0 && value < input[field][i - 1]);
    if (falls !== -1) fail(`input.${field}[${falls}] is smaller than the entry before it`);
  }
  return { file, id, planner, input, output };
}
