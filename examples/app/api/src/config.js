// The app's settings. Ports come from the environment, secrets come from files. No secret is in the environment,
// because `docker inspect` and every child process can read it there.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A wrong setting. The message is for the person who deploys. */
export class ConfigError extends Error {}

/**
 * Returns the settings: port, host, stopSeconds, redisUrl, mongoUrl, redisCa and mongoCa (paths, or undefined).
 * Throws one ConfigError that names every fault.
 */
export function readConfig(env = process.env) {
  const folder = env.SECRETS_DIR ?? '/run/secrets';
  const faults = [];
  const secret = (name, scheme) => {
    const path = join(folder, name);
    let text;
    try {
      text = readFileSync(path, 'utf8').trim();
    } catch (error) {
      faults.push(`${path}: cannot be read (${error.code})`);
      return undefined;
    }
    // The message never contains the content of the file.
    if (!scheme.test(text) || !URL.canParse(text)) faults.push(`${path}: contains no ${scheme.source} address`);
    return text;
  };
  const redisUrl = secret('redis_url', /^rediss?:\/\//);
  const mongoUrl = secret('mongo_shop_url', /^mongodb:\/\//);
  const number = (name, fallback) => {
    const value = Number(env[name] ?? fallback);
    if (!Number.isInteger(value) || value < 0) faults.push(`${name}: is not a number`);
    return value;
  };
  const port = number('PORT', 8080);
  const stopSeconds = number('STOP_SECONDS', 20);
  if (faults.length > 0) throw new ConfigError(faults.join('\n'));
  // With TLS to a store, the certificate of its authority is a file in the same folder.
  const there = (path) => (existsSync(path) ? path : undefined);
  return {
    port,
    host: env.HOST ?? '0.0.0.0',
    stopSeconds,
    redisUrl,
    mongoUrl,
    redisCa: there(env.REDIS_CA_FILE ?? join(folder, 'redis_ca.crt')),
    mongoCa: there(env.MONGO_CA_FILE ?? join(folder, 'mongo_ca.pem')),
  };
}
