/*
 * fingerprint.h - a short name for "these weights": what an adapter remembers of its base.
 *
 * The SHA-256 of these bytes, numbers being little-endian u64:
 *
 *   "lorac base 1\n"
 *   length of the configuration's text, the text
 *   number of tensors, then for each, sorted by name (bytewise):
 *       length of the name, the name, length of the type's name, the type's name ("BF16"),
 *       number of dimensions, each dimension, then the tensor's bytes where it has at most 1024,
 *       otherwise 16 pieces of 64 bytes: the first, the last, and 14 evenly spaced between them,
 *       piece k at byte floor(k (bytes - 64) / 15).
 *
 * So it is the same for one file or several, whatever the order of tensors and other metadata, and
 * differs when a type, shape or name does. Weights that differ only between the pieces have the
 * same fingerprint: it tells bases apart, it does not prove that a file is intact.
 */
#ifndef LORAC_BASE_FINGERPRINT_H
#define LORAC_BASE_FINGERPRINT_H

#include "base/checkpoint/safetensors.h"

LORAC_API_BEGIN

/* Write 64 hexadecimal digits and NUL. `config_text`, n bytes, must be canonical: the caller makes
 * sure that equal models give equal texts. Fails only for want of memory. */
LORAC_MUST_CHECK enum lorac_status lorac_checkpoint_fingerprint(char out[65],
                                                                const struct lorac_checkpoint *c,
                                                                const char *config_text, size_t n,
                                                                struct lorac_err *err);

LORAC_API_END

#endif
