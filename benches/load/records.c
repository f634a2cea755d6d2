/* Produces or consumes records with librdkafka, and says how long that took.
 *
 *   records produce BOOTSTRAP TOPIC PARTITIONS SIZE COUNT [name=value ...]
 *   records consume BOOTSTRAP TOPIC PARTITIONS SIZE COUNT [name=value ...]
 *
 * Prints: seconds, seconds of this process's CPU, records. Records of a topic go to its partitions in turn;
 * their bytes are text that compresses a little. Exits with 1 when a record is not delivered or does not come.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "rdkafka.h"

#define STALLED_MS 60000
#define AT_ONCE 10000

static long delivered, failed;

static double now(void) {
        struct timespec at;
        clock_gettime(CLOCK_MONOTONIC, &at);
        return at.tv_sec + at.tv_nsec / 1e9;
}

static double cpu(void) {
        struct rusage used;
        getrusage(RUSAGE_SELF, &used);
        return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void stop(const char *what) {
        fprintf(stderr, "%s\n", what);
        exit(1);
}

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
        if (message->err)
                failed++;
        else
                delivered++;
}

static void produce(rd_kafka_t *client, rd_kafka_topic_t *topic, int partitions, size_t size, long count) {
        char *value = malloc(size);
        unsigned seed = 1;
        for (size_t at = 0; at < size; at++) {
                seed = seed * 1103515245 + 12345;
                value[at] = at % 4 ? 'a' + at % 16 : 'a' + (seed >> 16) % 26;
        }
        for (long sent = 0; sent < count;) {
                if (rd_kafka_produce(topic, sent % partitions, 0, value, size, NULL, 0, NULL) == 0) {
                        if (++sent % AT_ONCE == 0)
                                rd_kafka_poll(client, 0);
                } else if (rd_kafka_last_error() == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                        rd_kafka_poll(client, 10);
                } else {
                        stop(rd_kafka_err2str(rd_kafka_last_error()));
                }
        }
        if (rd_kafka_flush(client, STALLED_MS) || failed || delivered != count)
                stop("records were not delivered");
        free(value);
}

static double consume(rd_kafka_t *client, rd_kafka_topic_t *topic, int partitions, long count) {
        rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
        rd_kafka_message_t **messages = malloc(AT_ONCE * sizeof(*messages));
        double began = 0, moved = now();
        for (int partition = 0; partition < partitions; partition++)
                rd_kafka_consume_start_queue(topic, partition, RD_KAFKA_OFFSET_BEGINNING, queue);
        while (delivered < count) {
                ssize_t got = rd_kafka_consume_batch_queue(queue, 100, messages, AT_ONCE);
                if (got > 0) {
                        moved = now();
                        if (began == 0)
                                began = moved;
                } else if (now() - moved > STALLED_MS / 1000) {
                        stop("records do not come");
                }
                for (ssize_t each = 0; each < got; each++) {
                        delivered += !messages[each]->err;
                        rd_kafka_message_destroy(messages[each]);
                }
        }
        for (int partition = 0; partition < partitions; partition++)
                rd_kafka_consume_stop(topic, partition);
        rd_kafka_queue_destroy(queue);
        free(messages);
        return began;
}

int main(int argc, char **argv) {
        char error[512];
        if (argc < 7)
                stop("records produce|consume BOOTSTRAP TOPIC PARTITIONS SIZE COUNT [name=value ...]");
        int producing = !strcmp(argv[1], "produce"), partitions = atoi(argv[4]);
        size_t size = atol(argv[5]);
        long count = atol(argv[6]);
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        rd_kafka_topic_conf_t *topic_conf = rd_kafka_topic_conf_new();
        rd_kafka_conf_set(conf, "bootstrap.servers", argv[2], error, sizeof error);
        for (int each = 7; each < argc; each++) {
                char *value = strchr(argv[each], '=');
                if (!value)
                        stop("a setting is name=value");
                *value++ = 0;
                if (rd_kafka_conf_set(conf, argv[each], value, error, sizeof error) == RD_KAFKA_CONF_UNKNOWN &&
                    rd_kafka_topic_conf_set(topic_conf, argv[each], value, error, sizeof error))
                        stop(error);
        }
        if (producing)
                rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        rd_kafka_t *client =
            rd_kafka_new(producing ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, error, sizeof error);
        if (!client)
                stop(error);
        rd_kafka_topic_t *topic = rd_kafka_topic_new(client, argv[3], topic_conf);
        const struct rd_kafka_metadata *metadata;
        if (rd_kafka_metadata(client, 0, topic, &metadata, STALLED_MS))
                stop("no metadata");
        rd_kafka_metadata_destroy(metadata);
        double began = now();
        if (producing)
                produce(client, topic, partitions, size, count);
        else
                began = consume(client, topic, partitions, count);
        printf("%f %f %ld\n", now() - began, cpu(), delivered);
        return 0;
}
