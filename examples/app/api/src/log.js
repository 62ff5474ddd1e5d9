// One JSON object a line on standard output, where the container engine takes it. Passwords that came in by
// files are cut out of whatever a driver says.
const secrets = new Set();

/** Remembers the password in an address, so that it can never be printed. */
export function hide(url) {
  const { password } = new URL(url);
  if (password) {
    secrets.add(password);
    secrets.add(decodeURIComponent(password));
  }
}

export function scrub(text) {
  let clean = text;
  for (const secret of secrets) clean = clean.replaceAll(secret, '***');
  return clean;
}

export function log(level, message, facts = {}) {
  const line = JSON.stringify({ at: new Date().toISOString(), level, message, ...facts });
  process.stdout.write(`${scrub(line)}\n`);
}

/** Returns what is worth saying of an error: its kind and its message, never the options it carries. */
export function said(error) {
  return { error: `${error.name}: ${error.message}` };
}
