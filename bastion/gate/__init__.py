"""Pure: one state machine a kind of channel; an event goes in, effects come out."""
