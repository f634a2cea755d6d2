/*
 * fastlog: one partition's log, in Kafka's on-disk format, for programs in any language.
 *
 * Conventions
 *   - Functions that can fail return a fastlog_status; results go through pointers, which are written only
 *     when the status is FASTLOG_OK (one exception: fastlog_read, see there).
 *   - Every byte range and every string that goes in has an explicit length and need not end with a zero.
 *     Nothing that goes in is kept after the call returns. Strings that come out end with a zero.
 *   - After a failure, fastlog_last_error() and fastlog_last_error_code() tell more. They speak of the last
 *     failed call of the calling thread.
 *   - A handle may be used by any number of threads at once, except that fastlog_close must be the last
 *     call that uses it.
 *   - No call unwinds into the caller: an internal fault is reported as FASTLOG_INTERNAL.
 *   - Offsets and sizes are in records and bytes, times in milliseconds since the Unix epoch.
 */
#ifndef FASTLOG_H
#define FASTLOG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An open log. */
typedef struct fastlog_log fastlog_log;

/* What became of a call. */
typedef enum fastlog_status {
    FASTLOG_OK = 0,
    /* A null pointer, a path that is not UTF-8, a number out of bounds. */
    FASTLOG_INVALID_ARGUMENT = 1,
    /* A system call failed. The log that met it on a write or a sync takes no more work. */
    FASTLOG_IO = 2,
    /* The disk is full: nothing was appended, and a later append may succeed. */
    FASTLOG_NO_SPACE = 3,
    /* Bytes on disk are damaged in a way that recovery must not paper over. */
    FASTLOG_CORRUPT = 4,
    /* The offset is outside [log start offset, log end offset]. */
    FASTLOG_OFFSET_OUT_OF_RANGE = 5,
    /* The batch failed validation: nothing was appended. */
    FASTLOG_REJECTED = 6,
    /* The buffer is smaller than the one batch that has to come whole. */
    FASTLOG_BUFFER_TOO_SMALL = 7,
    /* A fault of the library itself. */
    FASTLOG_INTERNAL = 8
} fastlog_status;

/* How to open a log. Let fastlog_options_init fill it in, then change what matters. */
typedef struct fastlog_options {
    /* sizeof(fastlog_options) as the caller knows it; set by fastlog_options_init. */
    size_t struct_size;
    /* Everything below this offset is known to be on the disk: recovery scans from here on. */
    int64_t recovery_point;
    /* Records below this offset are deleted already. */
    int64_t log_start_offset;
    /* Bytes after which a new segment begins. */
    int64_t segment_bytes;
    /* Largest batch that is appended, in bytes, header included. */
    int64_t max_message_bytes;
    /* Bytes of batches between two entries of the offset index. */
    int64_t index_interval_bytes;
    /* Not 0: the log was closed by fastlog_close, so nothing needs to be scanned. */
    int32_t clean_shutdown;
    /* Not 0: open in spite of damage in sealed segments; the bytes from the damage on are kept aside. */
    int32_t allow_data_loss;
} fastlog_options;

/* What opening had to do. */
typedef struct fastlog_recovery {
    uint64_t segments_scanned;
    uint64_t bytes_scanned;
    /* Bytes of a torn tail that were cut off. */
    uint64_t truncated_bytes;
    uint64_t indexes_rebuilt;
    /* How many texts fastlog_recovery_warning has. */
    uint64_t warnings;
} fastlog_recovery;

/* What one append did. */
typedef struct fastlog_append_info {
    int64_t first_offset;
    int64_t last_offset;
    /* The offset after the last record, of a duplicate too. */
    int64_t end_offset;
    int64_t log_start_offset;
    /* Time that the log gave to the batch, -1 when the times in it were kept. */
    int64_t log_append_time;
    /* Not 0: an idempotent producer sent this batch before. The offsets are those of the original. */
    int32_t duplicate;
} fastlog_append_info;

/* Version of the library, "major.minor.patch". Never freed. */
const char *fastlog_version(void);

/*
 * Why the last failed call of this thread failed; "" when none did.
 * Valid until the next call of this thread into the library. Never freed by the caller.
 */
const char *fastlog_last_error(void);

/* The Kafka error code of that failure, for an answer to a client; 0 when no call failed. */
int16_t fastlog_last_error_code(void);

/* Fills in Kafka's defaults. */
fastlog_status fastlog_options_init(fastlog_options *options);

/*
 * Opens or creates the log in the directory `path` (UTF-8). `options` may be NULL for the defaults.
 * The handle in `*log` belongs to the caller until fastlog_close. Only one handle per directory may be open.
 */
fastlog_status fastlog_open(const char *path, size_t path_length, const fastlog_options *options,
                            fastlog_log **log);

/* What fastlog_open had to do. */
fastlog_status fastlog_recovery_report(const fastlog_log *log, fastlog_recovery *report);

/*
 * One warning of the recovery, in `*text`: an index below `warnings` of the report.
 * Valid until fastlog_close of the log. Never freed by the caller.
 */
fastlog_status fastlog_recovery_warning(const fastlog_log *log, uint64_t index, const char **text);

/*
 * Checks one record batch (magic 2), gives it offsets and the leader epoch, and appends it.
 * The caller's bytes are not changed. The data is durable after the next fastlog_flush.
 * An epoch older than that of an earlier append is FASTLOG_INVALID_ARGUMENT. `info` may be NULL.
 */
fastlog_status fastlog_append(const fastlog_log *log, const uint8_t *records, size_t records_length,
                              int32_t leader_epoch, fastlog_append_info *info);

/*
 * Copies batches into `buffer`, from the batch that holds `offset` on, and none that begins at or after
 * `max_offset` (INT64_MAX for no limit). The first batch comes whole; a later one may be cut at the end of
 * the buffer. `*length` is the number of bytes copied, 0 at the end of the log.
 *
 * FASTLOG_BUFFER_TOO_SMALL: nothing was copied, and `*length` is the capacity that the first batch needs.
 */
fastlog_status fastlog_read(const fastlog_log *log, int64_t offset, int64_t max_offset, uint8_t *buffer,
                            size_t capacity, size_t *length);

/* Makes all appended data durable. `recovery_point` (the end of it) may be NULL. */
fastlog_status fastlog_flush(const fastlog_log *log, int64_t *recovery_point);

/* The first offset that can be read. */
fastlog_status fastlog_log_start_offset(const fastlog_log *log, int64_t *offset);

/* The offset that the next record will get. */
fastlog_status fastlog_log_end_offset(const fastlog_log *log, int64_t *offset);

/*
 * Flushes and closes the log, and frees the handle whatever the status. NULL is harmless.
 */
fastlog_status fastlog_close(fastlog_log *log);

#ifdef __cplusplus
}
#endif

#endif /* FASTLOG_H */
