"""An HTTP server that speaks OpenAI's protocol: one thread computes for all, the rest is asyncio (extra `serve`)."""
