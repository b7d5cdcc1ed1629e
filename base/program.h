/*
 * program.h - an architecture as a program: steps on named slots, which pass.c runs forward and
 * backward.
 *
 *   {OP_LINEAR, {SLOT_Q}, {SLOT_N}, "self_attn.q_proj"}        Q <- N W^T + b
 *
 * A program has a front (ids to rows) and a layer that is run L times. Behind them stands the head
 * of a task (rows to logits); its last step's output is what the head gives, the layers' where it
 * has no steps.
 * Each slot is written by one step; a step whose output is its first input changes it in place. How
 * wide a slot is follows from its name and the configuration. What is kept for the backward pass,
 * what is made again, where gradients lie and where the backward pass stops follow from the table
 * of operations (ops.c, plan.c): no architecture says any of it.
 *
 * The modules of a model are those that its program names, in the order in which it first runs
 * them.
 */
#ifndef LORAC_BASE_PROGRAM_H
#define LORAC_BASE_PROGRAM_H

#include "base/config.h"

enum lorac_slot {
    SLOT_NONE,
    SLOT_X, // (C) what a layer reads: the residual stream
    SLOT_Y, // (C) what it writes: the next layer's X
    SLOT_N,
    SLOT_N2,  // (C) outputs of norms
    SLOT_QKV, // (H+2G,D) queries, keys and values in one
    SLOT_Q0,  // (H,D) queries before their norm
    SLOT_K0,  // (G,D) keys before theirs
    SLOT_Q,   // (H,D) queries
    SLOT_K,
    SLOT_V,   // (G,D) keys, values
    SLOT_A,   // (H,D) attention's output
    SLOT_LSE, // (H) log of attention's denominators; has no gradient
    SLOT_O,   // (C) attention's output projected, before its norm
    SLOT_M,   // (C) the residual stream between attention and feed-forward
    SLOT_G,
    SLOT_U,  // (F) gate and up
    SLOT_H,  // (F) act(gate) up
    SLOT_GU, // (2,F) gate and up in one
    SLOT_P,  // (C) feed-forward's output before its norm
    SLOT_Z,  // (Z) logits
    LORAC_SLOTS
};
/* Floats a row of the slot. */
size_t lorac_slot_width(const struct lorac_config *c, enum lorac_slot slot);

enum lorac_op {
    OP_EMBED,  // out <- rows of the module's matrix: of the ids, positions or token types
    OP_SCALE,  // out *= the embedding's factor, in place
    OP_NORM,   // out <- norm(in)
    OP_LINEAR, // out <- in W^T + b
    OP_SPLIT,  // Q, K, V <- QKV, or G, U <- GU
    OP_ROPE,   // rotates in place
    OP_ATTEND, // A, LSE <- Q, K, V
    OP_ADD,    // out += in[1], in place
    OP_GATE,   // out <- act(in[0]) in[1], or act(in[0]) alone
    OP_POOL,   // in a head: a row of each text <- the mean of its rows, or that which is asked for
    LORAC_OPS
};

/* Flags. */
enum {
    BIAS_QKV = 1, // a linear layer has a bias where the configuration says so for its kind
    BIAS_O = 2,
    BIAS_MLP = 4,
    NORM_HEADS = 8,       // a norm is of each head, with one gain (D) for all
    STORED_TURNED = 16,   // a linear layer's weight is stored as (C,OC)
    EMBED_POSITIONS = 32, // a matrix of positions
    SPLIT_HEADS = 64,     // q, k and v of a head lie together; otherwise all q, all k, all v
    EMBED_TYPES = 128,    // a matrix of token types
    BIAS_HEAD = 256,      // always a bias
    HEAD_OWN = 512,  // of a head that is made for its task: new where the files have no such task
    MAY_LACK = 1024, // drawn where the files lack it
    ACT_TANH = 2048, // a gate of this function, whatever the configuration's
    ACT_RELU = 4096,
    ACT_GELU = 8192,
    BIAS_DENSE = 16384, // a bias where the configuration says so for this layer of a head
    BIAS_DECODER = 32768,
    NOT_FIRST = 65536,     // the first layer has no such norm: rows go on as they are
    DRAWN_NARROW = 131072, // drawn as what is added to the residual stream
};

enum { LORAC_STEP_OUTS = 3, LORAC_STEP_INS = 3, LORAC_STEPS_MAX = 40 };
struct lorac_step {
    enum lorac_op op;
    enum lorac_slot out[LORAC_STEP_OUTS], in[LORAC_STEP_INS]; // SLOT_NONE: no more
    const char *module; // behind the layer's name, or whole in front and head; NULL: none
    unsigned flags;
};
struct lorac_steps {
    const struct lorac_step *at;
    size_t n;
};
struct lorac_program {
    const char *layers; // "model.layers": "<layers>.<l>.<module>"
    struct lorac_steps front, layer;
};
struct lorac_head {
    struct lorac_steps steps;
    enum lorac_text_row row; // that it reads; LORAC_ROW_NONE: the architecture has no such head
};
#define LORAC_STEPS_OF(...)                                                              \
    {                                                                                    \
        (const struct lorac_step[]){__VA_ARGS__},                                        \
            sizeof((const struct lorac_step[]){__VA_ARGS__}) / sizeof(struct lorac_step) \
    }
#define LORAC_STEPS(array)                       \
    {                                            \
        (array), sizeof(array) / sizeof *(array) \
    }

#endif
