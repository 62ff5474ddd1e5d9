// The HTTP server. To stop, it accepts nothing new, finishes the running requests, and closes its connections.
import { createServer } from 'node:http';

import { createApp } from './app.js';
import { log } from './log.js';
import { serveTicks } from './ticks.js';

/** Starts to listen. Resolves with the server's `port` and `stop`. `stop` resolves when everything has ended. */
export async function serve(stores, { port, host, stopSeconds, every }) {
  let stopping = false;
  const server = createServer(createApp({ ...stores, stopping: () => stopping }));
  // A connection that is busy at the stop becomes idle after its answer. Nothing else would close it then.
  server.on('request', (_request, response) => {
    response.on('close', () => {
      if (stopping) setImmediate(() => server.closeIdleConnections());
    });
  });
  // Longer than nginx keeps idle connections (60 s), so that the app never closes a connection that nginx reuses.
  server.keepAliveTimeout = 75_000;
  const ticks = serveTicks(server, { every });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    log('info', 'stopping: no new requests are accepted');
    ticks.close();
    const ended = new Promise((resolve) => {
      server.close(resolve);
    });
    const late = setTimeout(() => {
      log('warn', 'stopping: the remaining requests are cut off');
      ticks.terminate();
      server.closeAllConnections();
    }, stopSeconds * 1000);
    await ended;
    clearTimeout(late);
    await stores.close();
    log('info', 'stopped');
  };
  return { port: server.address().port, stop };
}
