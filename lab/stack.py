def refresh(): return []
