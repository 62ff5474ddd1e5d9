// What the app is told: a port by the environment, every secret by a file. Nothing secret is in the environment,
// where `docker inspect` and every child process could read it.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A setting that is wrong; its message is for the person who deploys. */
export class ConfigError extends Error {}

/**
 * Returns the settings: port, host, stopSeconds, redisUrl, mongoUrl, redisCa and mongoCa (paths, or undefined).
 * Throws ConfigError naming every file that is missing, all at once.
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
    // The content never goes into the message.
    if (!scheme.test(text) || !URL.canParse(text)) faults.push(`${path}: holds no ${scheme.source} address`);
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
  // With TLS inside, the authority of each store's certificate is a file beside the rest.
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
