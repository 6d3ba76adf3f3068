"""A LangGraph agent with a tool and a memory, and the two lines that record its chats.

pip install 'collab-sdk[langchain]' langchain-openai langgraph
export OPENAI_API_KEY=...
python examples/harvest_langgraph.py chats.db

Then `collab logs list --store chats.db` shows the chats, and every command takes chats.db as its logs.
"""

import sys

from collab_langchain import CollabCallbackHandler  # added
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


@tool
def look_up(order: int) -> str:
    """The state of an order."""
    return "shipped"


model = ChatOpenAI(model="gpt-4o-mini").bind_tools([look_up])
graph = StateGraph(MessagesState)
graph.add_node("bot", lambda state: {"messages": [model.invoke(state["messages"])]})
graph.add_node("tools", ToolNode([look_up]))
graph.add_edge(START, "bot")
graph.add_conditional_edges("bot", tools_condition)
graph.add_edge("tools", "bot")
app = graph.compile(checkpointer=InMemorySaver())

handler = CollabCallbackHandler(sys.argv[1])  # added
config = {"configurable": {"thread_id": "42"}, "callbacks": [handler]}  # callbacks added
for text in ("Hello", "Where is my order 7?"):
    said = app.invoke({"messages": [("user", text)]}, config)["messages"][-1]
    print(f"user: {text}\nbot: {said.content}")
handler.close()  # writes what is left
