// Writes files whole or not at all: into a temporary file beside the target, which then takes its name.

import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { encodePlan, type Plan, planToJson, type Timeline } from "@isochron/planner";
import { encodeBinaryDocument } from "@isochron/viz";
import { InputError, systemReason } from "../errors.ts";

/** JSON with typed arrays as arrays, ended by a line break. */
export function toJson(document: unknown): string {
  return `${JSON.stringify(document, (_, value) => (ArrayBuffer.isView(value) ? Array.from(value as never) : value))}\n`;
}

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
  const temporary = temporaryName(path);
  try {
    makeDirectory(dirname(path));
    writeFileSync(temporary, content);
    renameSync(temporary, path);
  } catch (error) {
    removeQuietly(temporary);
    throw cannotWrite(path, error);
  }
}

/** The same for content that is streamed into the temporary file by `write`, whose own errors pass as they are. */
export async function writeThrough(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = temporaryName(path);
  prepareDirectory(dirname(path));
  try {
    await write(temporary);
    renameSync(temporary, path);
  } catch (error) {
    removeQuietly(temporary);
    const { path: refused, syscall } = error as NodeJS.ErrnoException;
    throw refused === temporary || syscall === "write" ? cannotWrite(path, error) : error;
  }
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

/** Beside the target, so that the rename stays inside one file system. */
export function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.part`);
}

/** The first error is the one to report. */
export function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {}
}

/** With those above it. Not Node's recursive option: it never returns where a file system refuses with ENOENT, as /proc does. */
function makeDirectory(path: string): void {
  const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  if (isDirectory) return;
  const parent = dirname(path);
  if (parent !== path) makeDirectory(parent);
  mkdirSync(path);
}

/** Makes the directory and makes sure, before hours of work, that files can be written there. Throws InputError. */
export function prepareDirectory(path: string): void {
  try {
    makeDirectory(path);
    accessSync(path, constants.W_OK);
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

/** The same for a file that is to be written. */
export function prepareFile(path: string): void {
  prepareDirectory(dirname(path));
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) {
    throw new InputError(`${path}: cannot be written (is a directory, expected a file)`);
  }
}

/** A refusal of the operating system by the path that the user gave. */
export function cannotWrite(path: string, error: unknown): InputError {
  return new InputError(`${path}: cannot be written (${systemReason(error)})`);
}
