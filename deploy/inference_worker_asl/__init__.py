"""Makes the state machine of `deploy/statemachine/`: the breaker for who orchestrates in AWS."""
