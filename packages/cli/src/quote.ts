// Arguments as a shell takes them.

/** As it stands where a shell leaves it alone, else in single quotes. */
export function quote(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}
