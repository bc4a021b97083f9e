export { encodeBinaryDocument } from "./columns.ts";
export { renderPage } from "./page.ts";
