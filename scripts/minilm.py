"""all-MiniLM-L6-v2, from the weights that its Python package carries to a GGUF file, and what it must answer.

usage: minilm.py PACKAGE-FOLDER OUT.gguf OUT.json

The JSON holds, for a few texts, their tokens and the vectors that the original weights give in 32 bits: computed here with
numpy alone, as sentence-transformers does (mean over all tokens, then length 1). A worker's answers are held to them.
"""

import json
import sys
from math import erf
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

TEXTS = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "Ein Mädchen trägt ein Kind – naïve café, 東京 100%!",
    "x",
]
SPECIAL, NORMAL = 3, 1  # token types, as GGUF numbers them


def convert(weights, config, tokenizer, out):
    layers = config["num_hidden_layers"]
    writer = gguf.GGUFWriter(out, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(layers)
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    add_vocabulary(writer, config, tokenizer)

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, layers)
    for name, tensor in weights.items():
        if name.startswith("pooler.") or name.endswith("position_ids"):
            continue  # trained for another task, and a row of indices
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            sys.exit(f"{name}: a tensor that no GGUF name is known for")
        # Matrices shrink to 16 bits; the small tables and all vectors stay as they are.
        shrinks = tensor.ndim == 2 and "position" not in name and "token_type" not in name
        writer.add_tensor(target, tensor.astype(np.float16 if shrinks else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_vocabulary(writer, config, tokenizer):
    ids = tokenizer["model"]["vocab"]
    special = {token["content"] for token in tokenizer["added_tokens"]}

    def spelled(token):
        """llama.cpp marks where a word begins; WordPiece marks where one goes on."""
        if token in special:
            return token
        return token[2:] if token.startswith("##") else "\u2581" + token

    tokens = sorted(ids, key=ids.get)
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([spelled(token) for token in tokens])
    writer.add_token_types([SPECIAL if token in special else NORMAL for token in tokens])
    writer.add_unk_token_id(ids["[UNK]"])
    writer.add_sep_token_id(ids["[SEP]"])
    writer.add_pad_token_id(ids["[PAD]"])
    writer.add_mask_token_id(ids["[MASK]"])
    writer.add_bos_token_id(ids["[CLS]"])
    writer.add_eos_token_id(ids["[SEP]"])


class Reference:
    """The model once more, in plain arithmetic."""

    def __init__(self, weights, config):
        self.weights = {name: tensor.astype(np.float64) for name, tensor in weights.items()}
        self.layers = config["num_hidden_layers"]
        self.heads = config["num_attention_heads"]
        self.eps = config["layer_norm_eps"]

    def embed(self, tokens):
        table = lambda name: self.weights[f"embeddings.{name}_embeddings.weight"]
        x = table("word")[tokens] + table("position")[: len(tokens)] + table("token_type")[0]
        x = self.norm("embeddings.LayerNorm", x)
        for layer in range(self.layers):
            at = f"encoder.layer.{layer}"
            x = self.norm(f"{at}.attention.output.LayerNorm", x + self.attend(f"{at}.attention", x))
            wide = self.dense(f"{at}.intermediate.dense", x)
            wide = 0.5 * wide * (1 + np.vectorize(erf)(wide / np.sqrt(2)))
            x = self.norm(f"{at}.output.LayerNorm", x + self.dense(f"{at}.output.dense", wide))
        mean = x.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def attend(self, at, x):
        split = lambda part: self.dense(f"{at}.self.{part}", x).reshape(len(x), self.heads, -1).swapaxes(0, 1)
        query, key, value = split("query"), split("key"), split("value")
        scores = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        return self.dense(f"{at}.output.dense", (scores @ value).swapaxes(0, 1).reshape(len(x), -1))

    def dense(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name, x):
        x = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + self.eps)
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def main():
    folder, out, answers = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    weights = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    convert(weights, config, json.loads((folder / "tokenizer.json").read_text()), out)

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    reference = Reference(weights, config)
    tokens = {text: tokenizer.encode(text).ids for text in TEXTS}
    expected = [
        {"text": text, "tokens": ids, "vector": [float(f"{x:.6f}") for x in reference.embed(ids)]}
        for text, ids in tokens.items()
    ]
    answers.write_text(json.dumps(expected, ensure_ascii=False))


main()
