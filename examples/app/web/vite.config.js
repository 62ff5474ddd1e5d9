import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// `npm run dev` serves the page on a laptop and passes /api and /ws to an API there. On a host nginx does that.
const api = process.env.API ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react()],
  build: { sourcemap: false },
  server: { proxy: { '/api': api, '/ws': { target: api, ws: true } } },
});
