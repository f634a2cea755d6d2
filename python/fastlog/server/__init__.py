"""The broker process: listeners, connections, dispatch and the handlers of Kafka's APIs."""
