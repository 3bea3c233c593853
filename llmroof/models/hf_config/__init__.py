"""Hugging Face config.json -> Model."""

from llmroof.models.hf_config.read import known_architectures, read_config

__all__ = ["known_architectures", "read_config"]
