"""Our own decoding loop: batched, under grammars."""
