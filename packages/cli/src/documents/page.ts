// Writes documents as one self-contained page of the viewer.

import type { ViewerBundle } from "@isochron/simulator";
import { renderPage } from "@isochron/viz";
import { InputError } from "../errors.ts";
import { writeWhole } from "./write.ts";

export function writePage(path: string, bundle: ViewerBundle): void {
  let page: string;
  try {
    page = renderPage(bundle);
  } catch (error) {
    // V8 refuses texts of more than half a gigabyte.
    if (!(error instanceof RangeError)) throw error;
    throw new InputError(
      `${path}: the documents are too large for one page, expected \`isochron view FILE\` without --html`,
    );
  }
  writeWhole(path, page);
}
