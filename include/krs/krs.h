/* krs.h -- the tour, in the order of the path; this includes all but the last.
 *
 * Declare a computation. Nothing is computed yet; gradients are more nodes.
 *   graph.h dtype.h    nodes, shapes, scopes, inputs, states; element types
 *   ops.h array.h      the operations; patterns, order, sums over named axes
 *   conv.h loss.h      convolutions and pooling; losses
 *   scan.h recurrent.h recurrences: a part again and again; RNN, GRU, LSTM
 *   nn.h rope.h        layers with parameters: fresh, loaded, saved; rotations
 *   opinfo.h random.h  the table of operations; their random numbers, here
 *
 * Run it. A device compiles a program of the graph, which updates a store.
 *   program.h          devices, stores, programs: run, look inside, measure
 *   memory.h dlpack.h  memory of your own; tensors of other libraries
 *   status.h version.h how errors are told; which Kersey this is
 *   check.h            gradients against slopes; devices, tensors compared
 *
 * Weights and texts: files of others, read and written.
 *   weights.h gguf.h   tensors in safetensors, GGUF, .npy, .npz; GGUF's settings
 *   block.h            block-quantised weights as numbers and back
 *   token.h corpus.h   text to ids and back; documents into shards of ids
 *   data.h             text as training batches
 *
 * Models, in the words of their config.json.
 *   model.h            a folder or file, whichever of the architectures it is of,
 *   architecture.h     which this lists; each has its settings and forward pass:
 *   llama.h gpt2.h bert.h encdec.h   LLaMA, Mistral, Qwen2; GPT-2; BERT, ERNIE;
 *                      the Transformer, Marian, BART, T5
 *   causal.h           what decoder-only language models have in common
 *   pretrained.h       special tokens, and how a model wants to generate
 *   verify.h           a folder against golden results
 *
 * Use them.
 *   train.h            schedules, optimizers, the trainer and its checkpoints
 *   generate.h embed.h sampling, decoding with a cache, text; texts as vectors
 *
 * To write a backend (not included here):
 *   backend.h kernel.h the seam to a machine; kernels: scalar.def is their table
 */
#ifndef KRS_KRS_H
#define KRS_KRS_H

#include <krs/architecture.h>
#include <krs/array.h>
#include <krs/bert.h>
#include <krs/block.h>
#include <krs/causal.h>
#include <krs/check.h>
#include <krs/conv.h>
#include <krs/corpus.h>
#include <krs/data.h>
#include <krs/dlpack.h>
#include <krs/dtype.h>
#include <krs/embed.h>
#include <krs/encdec.h>
#include <krs/generate.h>
#include <krs/gguf.h>
#include <krs/gpt2.h>
#include <krs/graph.h>
#include <krs/llama.h>
#include <krs/loss.h>
#include <krs/memory.h>
#include <krs/model.h>
#include <krs/nn.h>
#include <krs/opinfo.h>
#include <krs/ops.h>
#include <krs/pretrained.h>
#include <krs/program.h>
#include <krs/random.h>
#include <krs/recurrent.h>
#include <krs/rope.h>
#include <krs/scan.h>
#include <krs/status.h>
#include <krs/token.h>
#include <krs/train.h>
#include <krs/verify.h>
#include <krs/version.h>
#include <krs/weights.h>

#endif
