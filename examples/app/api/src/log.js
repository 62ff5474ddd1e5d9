// Logs one JSON object on each line of standard output, which the container engine collects. Known passwords are
// removed from every line, because a driver's message may contain one.
const secrets = new Set();

/** Remembers the password of an address, so that no line ever contains it. */
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

/** Returns the kind and the message of an error, but not its options, which may contain secrets. */
export function said(error) {
  return { error: `${error.name}: ${error.message}` };
}
