// Writes files whole or not at all: into a temporary file beside the target, which then takes its name.

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  rmdirSync,
  type Stats,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { encodePlan, type Plan, planToJson, type Timeline } from "@isochron/planner";
import { Draft } from "@isochron/simulator";
import { encodeBinaryDocument } from "@isochron/viz";
import { InputError, systemReason } from "../errors.ts";
import { toJson } from "./to-json.ts";

export function writeJson(path: string, document: unknown): void {
  writeWhole(path, toJson(document));
}

/** A timeline as JSON, or in its binary form where the file is named *.isoc. */
export function writeTimeline(path: string, timeline: Timeline): void {
  if (path.endsWith(".isoc")) writeWhole(path, encodeBinaryDocument(timeline));
  else writeJson(path, timeline);
}

/** A plan in its binary form, or as JSON where the name says so. */
export function writePlan(path: string, plan: Plan): void {
  if (path.endsWith(".json")) writeJson(path, planToJson(plan));
  else writeWhole(path, encodePlan(plan));
}

/** Throws InputError naming the path and the reason. */
export function writeWhole(path: string, content: string | Uint8Array): void {
  const draft = draftOf(path);
  try {
    writeFileSync(draft.path, content);
    draft.publish();
  } catch (error) {
    draft.discard();
    throw cannotWrite(path, error);
  }
}

/** The same for content that is streamed into the draft by `write`, whose own errors pass as they are. */
export async function writeThrough(path: string, write: (draft: string) => Promise<void>): Promise<void> {
  const draft = draftOf(path);
  try {
    await write(draft.path);
    draft.publish();
  } catch (error) {
    draft.discard();
    const { path: refused, syscall } = error as NodeJS.ErrnoException;
    throw refused === draft.path || syscall === "write" ? cannotWrite(path, error) : error;
  }
}

/** A file in the making, in a folder that is made if need be. Throws InputError where it cannot be written. */
export function draftOf(path: string): Draft {
  prepareFile(path);
  return new Draft(path);
}

/** Chosen: few enough system calls, little enough memory. */
const SINK_CHARACTERS = 2 ** 20;

/** A file that takes text piece by piece, as fast as it comes. */
export function openSink(path: string): { write: (text: string) => void; close: () => void; discard: () => void } {
  const descriptor = openSync(path, "w");
  let isOpen = true;
  let pending: string[] = [];
  let length = 0;
  const flush = (): void => {
    const bytes = Buffer.from(pending.join(""));
    for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
    pending = [];
    length = 0;
  };
  return {
    write: (text) => {
      pending.push(text);
      length += text.length;
      if (length > SINK_CHARACTERS) flush();
    },
    close: () => {
      flush();
      closeSync(descriptor);
      isOpen = false;
    },
    discard: () => {
      if (isOpen) closeSync(descriptor);
      isOpen = false;
    },
  };
}

/** With those above it. Not Node's recursive option: it never returns where a file system refuses with ENOENT, as /proc does. */
function makeDirectory(path: string): void {
  const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  if (isDirectory) return;
  const parent = dirname(path);
  if (parent !== path) makeDirectory(parent);
  mkdirSync(path);
}

/**
 * Makes the directory and makes sure, before hours of work, that files can be written there. Returns whether it was not there
 * before. Throws InputError about `asked`.
 */
export function prepareDirectory(path: string, asked: string = path): boolean {
  try {
    const isNew = !existsSync(path);
    makeDirectory(path);
    accessSync(path, constants.W_OK);
    return isNew;
  } catch (error) {
    throw cannotWrite(asked, error);
  }
}

/** Takes a directory back that nothing was written to. */
export function discardDirectory(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Somebody else has put something there.
  }
}

/** As prepareDirectory, for a file that is to be written. */
export function prepareFile(path: string): void {
  if (path === "-") throw new InputError("-: found standard output, expected a file (./- is one of that name)");
  const facts = factsOf(path);
  if (facts?.isDirectory() === true) {
    throw new InputError(`${path}: cannot be written (is a directory, expected a file)`);
  }
  // A pipe or terminal is written as it is, whatever its folder.
  if (facts === undefined || facts.isFile()) prepareDirectory(dirname(path), path);
}

function factsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

/** A refusal of the operating system by the path that the user gave. */
export function cannotWrite(path: string, error: unknown): InputError {
  return new InputError(`${path}: cannot be written (${systemReason(error)})`);
}
