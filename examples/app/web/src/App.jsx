import { useCallback, useEffect, useState } from 'react';

import { addItem, listItems, watchTicks } from './api.js';

export function App() {
  const [items, setItems] = useState(null);
  const [visits, setVisits] = useState(null);
  const [fault, setFault] = useState('');

  const load = useCallback(async () => {
    try {
      const found = await listItems();
      setItems(found.items);
      setVisits(found.visits);
      setFault('');
    } catch (error) {
      setFault(error.message);
    }
  }, []);
  useEffect(() => {
    load();
  }, [load]);

  return (
    <main>
      <h1>Shop</h1>
      <Ticks />
      <AddItem onAdded={load} onFault={setFault} />
      {fault && (
        <p role="alert" id="fault">
          {fault}
        </p>
      )}
      {items === null ? (
        <p>Loading …</p>
      ) : items.length === 0 ? (
        <p id="empty">No items yet.</p>
      ) : (
        <ul id="items">
          {items.map((item) => (
            <li key={item.id}>
              <span>{item.name}</span>
              <time dateTime={item.createdAt}>{new Date(item.createdAt).toLocaleTimeString()}</time>
            </li>
          ))}
        </ul>
      )}
      {visits !== null && <p id="visits">The list was requested {visits} times.</p>}
    </main>
  );
}

function AddItem({ onAdded, onFault }) {
  const [name, setName] = useState('');
  const [busy, setBusy] = useState(false);

  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await addItem(name);
      setName('');
      await onAdded();
    } catch (error) {
      onFault(error.message);
    } finally {
      setBusy(false);
    }
  };

  return (
    <form onSubmit={submit}>
      <label htmlFor="name">New item</label>
      <input
        id="name"
        value={name}
        maxLength={200}
        required
        autoComplete="off"
        onChange={(event) => setName(event.target.value)}
      />
      <button id="add" type="submit" disabled={busy}>
        Add
      </button>
    </form>
  );
}

function Ticks() {
  const [tick, setTick] = useState(null);
  const [open, setOpen] = useState(false);
  useEffect(() => watchTicks(setTick, setOpen), []);
  return (
    <p id="ticks" data-open={open} data-tick={tick ?? ''}>
      {open ? `Connected, tick ${tick ?? '…'}` : 'Not connected'}
    </p>
  );
}
