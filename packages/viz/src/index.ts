export { decodeBinaryDocument, encodeBinaryDocument, isBinaryDocument } from "./columns.ts";
export { MissingTemplateError, renderPage, ViewerBundleError } from "./page.ts";
export type { ViewerServer, ViewerServerOptions } from "./server.ts";
export { serveViewer, ViewerFileError } from "./server.ts";
