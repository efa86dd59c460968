import { defineConfig } from 'vite';

// What dependencies say to other bundlers is no news to who draws five pictures.
const HARMLESS = new Set(['MODULE_LEVEL_DIRECTIVE', 'INVALID_ANNOTATION']);

export default defineConfig({
  base: './',
  esbuild: { jsx: 'automatic' },
  define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}' },
  build: {
    outDir: 'node_modules/.page', // ignored, and gone with what it is made of
    emptyOutDir: true,
    target: 'es2022',
    chunkSizeWarningLimit: 20_000, // loaded five times, from the disk
    rollupOptions: { onwarn: (warning, warn) => HARMLESS.has(warning.code) || warn(warning) },
  },
  logLevel: 'warn',
});
