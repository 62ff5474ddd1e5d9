import { ConfigError, readConfig } from './config.js';
import { log } from './log.js';
import { serve } from './server.js';
import { openStores } from './stores.js';

let config;
try {
  config = readConfig();
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  log('error', 'cannot start', { faults: error.message.split('\n') });
  process.exit(1);
}
const { port, stop } = await serve(openStores(config), config);
log('info', 'listening', { port });
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, stop);
