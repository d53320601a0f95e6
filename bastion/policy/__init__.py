"""Pure: what may be done. Text becomes a Policy, a request becomes a Verdict."""
