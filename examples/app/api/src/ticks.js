// One WebSocket route. It sends a tick each second, so that a page can show that it is connected.
import { WebSocketServer } from 'ws';

const GOING_AWAY = 1001;
const ALIVE_MS = 30_000;

/** Serves `path` on the server. Returns `close`, which ends every connection properly, and `terminate`. */
export function serveTicks(server, { path = '/ws', every = 1000 } = {}) {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 1024 });
  server.on('upgrade', (request, socket, head) => {
    if (new URL(request.url, 'http://localhost').pathname !== path) {
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client) => sockets.emit('connection', client));
  });
  sockets.on('connection', (client) => {
    client.alive = true;
    client.on('pong', () => {
      client.alive = true;
    });
    client.on('error', () => client.terminate());
  });
  let tick = 0;
  const timer = setInterval(() => {
    tick += 1;
    const text = JSON.stringify({ tick, at: new Date().toISOString() });
    for (const client of sockets.clients) if (client.readyState === client.OPEN) client.send(text);
  }, every);
  const pings = setInterval(() => {
    for (const client of sockets.clients) {
      if (!client.alive) client.terminate();
      client.alive = false;
      client.ping();
    }
  }, ALIVE_MS);
  return {
    close() {
      clearInterval(timer);
      clearInterval(pings);
      for (const client of sockets.clients) client.close(GOING_AWAY, 'the server is stopping');
      sockets.close();
    },
    terminate() {
      for (const client of sockets.clients) client.terminate();
    },
  };
}
