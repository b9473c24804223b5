"""The engine: `decide`, `evolve`, `desired`. Pure; everything it knows is handed to it."""
