/* krs.h -- the tour: everything a user needs, in the order of the path.
 *
 *   version.h   which Kersey this is
 *   status.h    how errors are told
 *   dtype.h     element types
 *   memory.h    where devices take memory from
 *   graph.h     declare a computation: nodes, scopes, states, gradients
 *   ops.h       the operations
 *   loss.h      losses
 *   array.h     patterns, order, sums over named axes
 *   conv.h      convolutions and pooling
 *   scan.h      recurrences: a part of the graph, again and again
 *   recurrent.h   RNN, GRU and LSTM
 *   opinfo.h    the table of operations, to walk through
 *   random.h    the random numbers that graphs use, on the host
 *   program.h   devices ("eval", "interp", "cpu"), stores of tensors, programs:
 *               run a graph, look at its kernels and their times
 *   check.h     compare results element by element
 *
 *   nn.h        layers with their parameters; fresh, loaded, saved
 *   weights.h   tensors in safetensors, GGUF, .npy and .npz files: list, read,
 *               write, convert, compare, describe
 *   gguf.h      settings, vocabulary and chat template of a GGUF file
 *   dlpack.h    tensors in memory from and to other libraries
 *   block.h     block-quantised weights as numbers and back
 *   causal.h    decoder-only language models, whichever
 *   model.h     a model folder, whichever of the architectures it is of
 *   architecture.h  the list of these
 *   llama.h     LLaMA, Mistral, Qwen2: settings, forward pass, folders
 *   gpt2.h      GPT-2: settings, forward pass
 *   bert.h      BERT, ERNIE: settings, forward pass, heads
 *   rope.h      rotary frequencies for long contexts
 *   token.h     text to ids and back: the tokenizers of models
 *   pretrained.h  how a model generates, its special tokens: the small files
 *   corpus.h    documents out of text files; token ids into shards
 *   data.h      text as training batches
 *   train.h     training: schedules, optimizers, the trainer
 *   generate.h  sampling, decoding with a cache, text
 *   verify.h    a model folder against golden results
 *
 * Not included here, for those who write backends:
 *
 *   kernel.h    the language of kernels; scalar.def is its table
 *   backend.h   the seam between programs and a machine
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
