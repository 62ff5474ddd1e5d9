// The address of the API: the page's own origin, unless the build sets VITE_API_BASE, for example to
// "https://api.example.com". The same origin needs no CORS, and a Content-Security-Policy of 'self' is enough.
const base = new URL(import.meta.env.VITE_API_BASE || '/', window.location.href);

/** Returns {items, visits}. */
export async function listItems() {
  return answer(await fetch(new URL('/api/items', base), { headers: { accept: 'application/json' } }));
}

/** Adds an item and returns it. */
export async function addItem(name) {
  return answer(
    await fetch(new URL('/api/items', base), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name }),
    }),
  );
}

async function answer(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error ?? `the server answered ${response.status}`);
  return body;
}

/**
 * Calls `onTick` for every tick, and `onState` with true or false when the WebSocket opens or closes. After a
 * close it connects again, with growing pauses. Returns a function that ends it.
 */
export function watchTicks(onTick, onState) {
  const url = new URL('/ws', base);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  let socket;
  let timer;
  let ended = false;
  let tries = 0;
  const open = () => {
    socket = new WebSocket(url);
    socket.onopen = () => {
      tries = 0;
      onState(true);
    };
    socket.onmessage = (event) => onTick(JSON.parse(event.data).tick);
    socket.onclose = () => {
      if (ended) return;
      onState(false);
      timer = setTimeout(open, Math.min(500 * 2 ** tries++, 10_000));
    };
  };
  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    socket.close();
  };
}
