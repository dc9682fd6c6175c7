//! SMS: segments counted, messages handed to an HTTP provider.
