"""OANDA v20: forex and CFDs, through oandapyV20."""
