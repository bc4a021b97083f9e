export async function cudaState(): Promise<{ isAvailable: boolean; detail: string }> {
  return { isAvailable: false, detail: "not built" };
}
