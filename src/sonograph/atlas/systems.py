"""Every system of the house, by what a user does with it."""

from __future__ import annotations

from sonograph.registry import System

SYSTEMS: tuple[System, ...] = (
    # represent: sound (or spectra) to vectors
    System("ssast", "represent", "SSAST: Self-Supervised Audio Spectrogram Transformer", ("ast",)),
    System(
        "ssamba",
        "represent",
        "SSAMBA: Self-Supervised Audio Representation Learning with Mamba State Space Model",
    ),
    System("beats", "represent", "BEATs: Audio Pre-Training with Acoustic Tokenizers"),
    System(
        "mert",
        "represent",
        "MERT: Acoustic Music Understanding Model with Large-Scale Self-supervised Training",
    ),
    System(
        "hubertopic",
        "represent",
        "HuBERTopic: Enhancing Semantic Representation of HuBERT through Self-supervision "
        "Utilizing Topic Model",
    ),
    System(
        "tera",
        "represent",
        "TERA: Self-Supervised Learning of Transformer Encoder Representation for Speech",
    ),
    System(
        "midibert",
        "represent",
        "Adversarial-MidiBERT: Symbolic Music Understanding Model Based on Unbias Pre-training "
        "and Mask Fine-tuning",
    ),
    System(
        "self_pretraining",
        "represent",
        "Never Train from Scratch: Fair Comparison of Long-Sequence Models Requires Data-Driven "
        "Priors",
        prefixes=("self-pretraining",),
    ),
    System("spectralgpt", "represent", "SpectralGPT: Spectral Foundation Model"),
    # tag: sound to labels
    System(
        "panns",
        "tag",
        "PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern Recognition",
    ),
    System("spectttra", "tag", "SONICS: Synthetic Or Not -- Identifying Counterfeit Songs"),
    System(
        "embedding_statistics",
        "tag",
        "Attention is All You Need? Good Embeddings with Statistics are enough: Large Scale Audio "
        "Understanding without Transformers/ Convolutions/ BERTs/ Mixers/ Attention/ RNNs or ....",
        prefixes=("embedding-statistics",),
    ),
    # locate
    System(
        "pseldnets",
        "locate",
        "PSELDNets: Pre-trained Neural Networks on Large-scale Synthetic Datasets for Sound Event "
        "Localization and Detection",
    ),
    # recognize
    System("indicwav2vec", "recognize", "Towards Building ASR Systems for the Next Billion Users"),
    # speak
    System("fastspeech", "speak", "FastSpeech: Fast, Robust and Controllable Text to Speech"),
    System(
        "portaspeech",
        "speak",
        "PortaSpeech: Portable and High-Quality Generative Text-to-Speech",
    ),
    System(
        "prodiff",
        "speak",
        "ProDiff: Progressive Fast Diffusion Model For High-Quality Text-to-Speech",
    ),
    System(
        "mega_tts",
        "speak",
        "Mega-TTS: Zero-Shot Text-to-Speech at Scale with Intrinsic Inductive Bias",
    ),
    System(
        "sv2tts",
        "speak",
        "Transfer Learning from Speaker Verification to Multispeaker Text-To-Speech Synthesis",
    ),
    System("ardit", "speak", "Autoregressive Diffusion Transformer for Text-to-Speech Synthesis"),
    System(
        "diffusion_tts",
        "speak",
        "High-Fidelity Speech Synthesis with Minimal Supervision: All Using Diffusion Models",
    ),
    System(
        "naturall2s",
        "speak",
        "NaturalL2S: End-to-End High-quality Multispeaker Lip-to-Speech Synthesis with "
        "Differential Digital Signal Processing",
    ),
    # vocode
    System(
        "istftnet",
        "vocode",
        "iSTFTNet: Fast and Lightweight Mel-Spectrogram Vocoder Incorporating Inverse Short-Time "
        "Fourier Transform",
        prefixes=("hifigan",),
    ),
    System(
        "periodwave",
        "vocode",
        "PeriodWave: Multi-Period Flow Matching for High-Fidelity Waveform Generation",
    ),
    System(
        "language_codec",
        "vocode",
        "Language-Codec: Reducing the Gaps Between Discrete Codec Representation and Speech "
        "Language Models",
    ),
    # separate
    System(
        "mel_roformer",
        "separate",
        "Mel-RoFormer for Vocal Separation and Vocal Melody Transcription",
        prefixes=("mel-roformer", "bs-roformer"),
    ),
    System(
        "mossformer2",
        "separate",
        "MossFormer2: Combining Transformer and RNN-Free Recurrent Network for Enhanced "
        "Time-Domain Monaural Speech Separation",
    ),
    System("universal", "separate", "Universal Source Separation with Weakly Labelled Data"),
    System(
        "flowsep",
        "separate",
        "FlowSep: Language-Queried Sound Separation with Rectified Flow Matching",
    ),
    System(
        "weak_bimodal",
        "separate",
        "Weakly-supervised Audio Separation via Bi-modal Semantic Similarity",
    ),
    System(
        "gense",
        "separate",
        "GenSE: Generative Speech Enhancement via Language Models using Hierarchical Modeling",
    ),
    # compose
    System("specvqgan", "compose", "Taming Visually Guided Sound Generation"),
    System(
        "specmaskgit",
        "compose",
        "SpecMaskGIT: Masked Generative Modeling of Audio Spectrograms for Efficient Audio "
        "Synthesis and Beyond",
    ),
    System(
        "magnet",
        "compose",
        "Masked Audio Generation using a Single Non-Autoregressive Transformer",
    ),
    System(
        "music_controlnet",
        "compose",
        "Music ControlNet: Multiple Time-varying Controls for Music Generation",
    ),
    System(
        "dreamstyler",
        "compose",
        "JEN-1 DreamStyler: Customized Musical Concept Learning via Pivotal Parameters Tuning",
    ),
    System(
        "diffrhythm",
        "compose",
        "DiffRhythm: Blazingly Fast and Embarrassingly Simple End-to-End Full-Length Song "
        "Generation with Latent Diffusion",
    ),
    # retrieve
    System(
        "clap",
        "retrieve",
        "CLAP: the joint space of sound and text that the retrieval and generation systems use",
    ),
    System(
        "video_music",
        "retrieve",
        "Language-Guided Music Recommendation for Video via Prompt Analogies",
    ),
    System(
        "playlists",
        "retrieve",
        "Representation, Exploration and Recommendation of Music Playlists",
    ),
    System(
        "prop",
        "retrieve",
        "PROP: Pre-training with Representative Words Prediction for Ad-hoc Retrieval",
    ),
    System(
        "georsclip",
        "retrieve",
        "RS5M and GeoRSCLIP: A Large Scale Vision-Language Dataset and A Large Vision-Language "
        "Model for Remote Sensing",
    ),
    System("astrom3", "retrieve", "AstroM^3: A self-supervised multimodal model for astronomy"),
    # adapt
    System(
        "ast_adapters",
        "adapt",
        "Parameter-Efficient Transfer Learning of Audio Spectrogram Transformers",
    ),
    System(
        "svfit",
        "adapt",
        "SVFit: Parameter-Efficient Fine-Tuning of Large Pre-Trained Models Using Singular Values",
    ),
    System(
        "pela",
        "adapt",
        "PELA: Learning Parameter-Efficient Models with Low-Rank Approximation",
    ),
    System(
        "dsee",
        "adapt",
        "DSEE: Dually Sparsity-embedded Efficient Tuning of Pre-trained Language Models",
    ),
    System("graph_adapter", "adapt", "Can GNN be Good Adapter for LLMs?"),
    System("active_prompt", "adapt", "Active Prompt Learning in Vision Language Models"),
    System(
        "noise_tuning",
        "adapt",
        "Understanding and Mitigating the Label Noise in Pre-training on Downstream Tasks",
    ),
    System(
        "soups",
        "adapt",
        "Model soups: averaging weights of multiple fine-tuned models improves accuracy without "
        "increasing inference time",
    ),
    System(
        "supervised_transfer",
        "adapt",
        "Rethinking Supervised Pre-training for Better Downstream Transferring",
    ),
    # study
    System(
        "predictive_data",
        "study",
        "Predictive Data Selection: The Data That Predicts Is the Data That Teaches",
    ),
    System(
        "learning_curves", "study", "Modeling of learning curves with applications to pos tagging"
    ),
    System(
        "unsupervised_advantage", "study", "On the Provable Advantage of Unsupervised Pretraining"
    ),
    System(
        "tiny_time_mixers",
        "study",
        "Tiny Time Mixers (TTMs): Fast Pre-trained Models for Enhanced Zero/Few-Shot Forecasting "
        "of Multivariate Time Series",
    ),
)
